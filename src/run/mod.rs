//! The only orchestrator: a plan and a world in, events out.
//!
//! One owner of state, the dispatcher: it selects an input, applies it synchronously, and acts on what follows.
//! Units are straight asynchronous functions that tell it what happens; every intent is on disk before a unit may
//! act on it. No task outlives [`run`].

mod addons;
mod clock;
mod dispatcher;
mod operator;
mod refusal;
mod unit;
mod world;

pub use clock::Clock;
pub use dispatcher::{Options, RunEnd, RunError, Signal, Sink, run};
pub use unit::resumable;
pub use world::{CapiWorld, World};
