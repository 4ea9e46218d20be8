//! The two helpers that make the namespace usable: one keeps it alive, one lets clients outside reach the API server.

use super::error::TestbedError;
use super::{net, process};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Entry point of the hidden subcommand `hold`: makes the namespace, says so in one line on stdout, and stays until it
/// is asked to end. What it says is `ready`, or why there is no namespace.
pub fn hold(record: &Path) -> Result<(), TestbedError> {
    process::register("hold", record)?;
    let made = net::isolate();
    let answer = match &made {
        Ok(()) => "ready".to_owned(),
        Err(error) => error.to_string(),
    };
    // The reader may be gone; the record still leads here.
    let _ = writeln!(std::io::stdout(), "{answer}");
    if made.is_ok() {
        let _ = process::wait_for_end();
    }
    Ok(())
}

/// Entry point of the hidden subcommand `relay`: listens on loopback outside, at the preferred port if it is free and at
/// any other if not, says in one line on stdout at which, and forwards to the same port inside.
///
/// A socket stays in the namespace it was made in, so listening first and entering then gives one foot in each. The port
/// is chosen by taking it: between a look whether it is free and the use of it, another testbed may have taken it.
pub fn relay(record: &Path, preferred: u16, hold: i32) -> Result<(), TestbedError> {
    process::register("relay", record)?;
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let (outside, port) = listen(preferred)
        .or_else(|_| listen(0))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(|listener| listener.local_addr().map(|address| (listener, address.port())))
        .map_err(|source| TestbedError::NoPort { component: "relay".into(), source })?;
    net::enter(record, hold)?;
    let _ = writeln!(std::io::stdout(), "{port}");
    super::runtime()?.block_on(forward(outside, port)).map_err(TestbedError::Runtime)
}

async fn forward(outside: TcpListener, port: u16) -> std::io::Result<()> {
    let outside = tokio::net::TcpListener::from_std(outside)?;
    loop {
        let Ok((mut client, _)) = outside.accept().await else {
            // Out of descriptors, or the client is gone already: the next one may have more luck.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(async move {
            if let Ok(mut server) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
