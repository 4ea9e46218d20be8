//! Decides whether values can stand together in a row, and which constraints forbid it if they cannot.
//!
//! Complete: unit propagation over domains held as masks, two watched literals per clause, and learning of the first
//! unique implication point with backjumping (Marques-Silva and Sakallah, "GRASP", 1999; Moskewicz et al., "Chaff", 2001).
//! A literal here is "the value is in this mask", so that resolution cuts the masks of the parameter that it resolves on
//! and joins all others. Sets of constraints are minimised by divide and conquer (Junker, "QuickXplain", 2004).

use super::Row;
use super::model::{Compiled, Model, OWN};

/// No clause: a decision.
const DECISION: u32 = u32::MAX;
/// Learned clauses are dropped when there are more than this.
const LEARNED: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Entry {
    parameter: u32,
    before: u64,
    reason: u32,
}

/// A complete solver for the clauses of a model. It learns from each question, so keep it for many.
#[derive(Debug, Clone)]
pub struct Solver {
    full: Vec<u64>,
    /// Clauses of the model, then learned ones. The first two literals are watched.
    clauses: Vec<Vec<(u32, u64)>>,
    given: usize,
    origins: Vec<Compiled>,
    watches: Vec<Vec<u32>>,
    domains: Vec<u64>,
    trail: Vec<Entry>,
    /// Where each decision level begins in the trail.
    levels: Vec<usize>,
    head: usize,
    /// The clauses contradict each other.
    contradiction: bool,
    activity: Vec<u64>,
    bump: u64,
    // Scratch of the analysis of conflicts.
    masks: Vec<u64>,
    base: Vec<u64>,
    active: Vec<u32>,
}

impl Solver {
    /// A solver for the clauses of a model.
    #[must_use]
    pub fn new(model: &Model) -> Solver {
        let full = (0..model.levels().len()).map(|parameter| model.domain(parameter)).collect();
        Solver::with(full, model.clauses().to_vec())
    }

    fn with(full: Vec<u64>, origins: Vec<Compiled>) -> Solver {
        let parameters = full.len();
        let mut solver = Solver {
            domains: full.clone(),
            full,
            clauses: Vec::with_capacity(origins.len()),
            given: origins.len(),
            origins: Vec::new(),
            watches: vec![Vec::new(); parameters],
            trail: Vec::new(),
            levels: Vec::new(),
            head: 0,
            contradiction: false,
            activity: vec![0; parameters],
            bump: 1,
            masks: vec![0; parameters],
            base: vec![0; parameters],
            active: Vec::new(),
        };
        for clause in &origins {
            solver.clauses.push(clause.literals.clone());
            solver.attach(solver.clauses.len() as u32 - 1);
        }
        solver.origins = origins;
        solver.settle();
        solver
    }

    /// Completes a partial row, an entry per parameter, to one that satisfies all clauses; `None` if there is none. A cell gets its preferred value
    /// where that is possible; `preferred` is empty, or has one entry per parameter.
    pub fn complete(&mut self, partial: &[Option<u8>], preferred: &[Option<u8>]) -> Option<Row> {
        self.reset();
        if self.learned() > LEARNED {
            self.forget();
        }
        let fixed: Vec<(usize, u8)> =
            partial.iter().enumerate().filter_map(|(at, value)| value.map(|v| (at, v))).collect();
        if self.contradiction
            || fixed.iter().any(|&(at, v)| v > 63 || self.full.get(at).is_none_or(|full| full >> v & 1 == 0))
        {
            return None;
        }
        let mut conflicts = 0_u32;
        let mut next = 0;
        loop {
            if let Some(conflict) = self.propagate() {
                if self.levels.is_empty() {
                    self.contradiction = true;
                    return None;
                }
                conflicts += 1;
                self.learn(conflict);
                next = 0;
                continue;
            }
            // What is asked for are the first decisions.
            let asked = fixed.iter().find(|&&(at, v)| self.domains[at] != 1 << v);
            if let Some(&(at, value)) = asked {
                if self.domains[at] >> value & 1 == 0 {
                    self.reset();
                    return None;
                }
                self.decide(at, 1 << value);
                continue;
            }
            let open = |at: &usize| self.domains[*at].count_ones() > 1;
            let choice = if conflicts < 16 {
                let found = (next..self.full.len()).find(open);
                next = found.unwrap_or(0);
                found
            } else {
                (0..self.full.len()).filter(open).max_by_key(|at| self.activity[*at])
            };
            let Some(at) = choice else {
                let row = self.domains.iter().map(|domain| domain.trailing_zeros() as u8).collect();
                self.reset();
                return Some(row);
            };
            let wish =
                preferred.get(at).copied().flatten().filter(|&v| v < 64 && self.domains[at] >> v & 1 == 1);
            let value = wish.map_or_else(|| self.domains[at].trailing_zeros(), u32::from);
            self.decide(at, 1 << value);
        }
    }

    /// Which constraints forbid a partial row: `None` if none do, else origins of which none could be spared. For the
    /// empty partial row (all `None`) these are constraints that contradict each other. No origins at all: a value does not
    /// exist.
    pub fn forbidden_by(&mut self, partial: &[Option<u8>]) -> Option<Vec<usize>> {
        if self.complete(partial, &[]).is_some() {
            return None;
        }
        let mut origins: Vec<usize> =
            self.origins.iter().map(|clause| clause.origin).filter(|&origin| origin != OWN).collect();
        origins.sort_unstable();
        origins.dedup();
        let explain = Explain { solver: self, partial };
        if explain.forbids(&[]) {
            return Some(Vec::new());
        }
        let mut core = explain.minimise(&mut Vec::new(), false, &origins);
        core.sort_unstable();
        Some(core)
    }

    /// What is left of the domain of a parameter.
    pub(super) fn domain(&self, parameter: usize) -> u64 {
        self.domains[parameter]
    }

    /// Whether no row satisfies the clauses, as far as is known without search.
    pub(super) fn is_contradictory(&self) -> bool {
        self.contradiction
    }

    /// Takes back all decisions.
    pub(super) fn reset(&mut self) {
        self.backjump(0);
    }

    pub(super) fn level(&self) -> usize {
        self.levels.len()
    }

    /// Decides on a value and follows what it implies; takes it back and says false if that is a conflict.
    pub(super) fn push(&mut self, parameter: usize, value: u8) -> bool {
        if self.domains[parameter] >> value & 1 == 0 {
            return false;
        }
        self.decide(parameter, 1 << value);
        if self.propagate().is_some() {
            self.backjump(self.levels.len() - 1);
            return false;
        }
        true
    }

    /// Takes back all decisions above a level.
    pub(super) fn backjump(&mut self, level: usize) {
        if self.levels.len() > level {
            let start = self.levels[level];
            self.levels.truncate(level);
            while self.trail.len() > start {
                self.undo();
            }
            self.head = start;
        }
    }

    fn learned(&self) -> usize {
        self.clauses.len() - self.given
    }

    fn undo(&mut self) -> Option<Entry> {
        let entry = self.trail.pop()?;
        self.domains[entry.parameter as usize] = entry.before;
        Some(entry)
    }

    fn decide(&mut self, parameter: usize, mask: u64) {
        self.levels.push(self.trail.len());
        self.narrow(parameter as u32, mask, DECISION);
    }

    fn narrow(&mut self, parameter: u32, mask: u64, reason: u32) {
        let before = self.domains[parameter as usize];
        self.trail.push(Entry { parameter, before, reason });
        self.domains[parameter as usize] = before & mask;
    }

    /// Watches a new clause while nothing is decided, or right after learning it.
    fn attach(&mut self, clause: u32) {
        match self.clauses[clause as usize].as_slice() {
            [] => self.contradiction = true,
            [(parameter, mask)] => {
                let (parameter, mask) = (*parameter, *mask);
                if self.domains[parameter as usize] & mask == 0 {
                    self.contradiction = true;
                } else if self.domains[parameter as usize] & !mask != 0 {
                    self.narrow(parameter, mask, clause);
                }
            }
            [(first, _), (second, _), ..] => {
                let (first, second) = (*first as usize, *second as usize);
                self.watches[first].push(clause);
                self.watches[second].push(clause);
            }
        }
    }

    /// Propagates what holds without any decision.
    fn settle(&mut self) {
        self.head = 0;
        if !self.contradiction && self.propagate().is_some() {
            self.contradiction = true;
        }
    }

    /// Follows implications; the clause that cannot be satisfied any more, if there is one.
    fn propagate(&mut self) -> Option<u32> {
        while self.head < self.trail.len() {
            let parameter = self.trail[self.head].parameter;
            self.head += 1;
            let domain = self.domains[parameter as usize];
            let mut watching = std::mem::take(&mut self.watches[parameter as usize]);
            let mut at = 0;
            let mut conflict = None;
            while at < watching.len() {
                let number = watching[at];
                let clause = &mut self.clauses[number as usize];
                let mine = usize::from(clause[0].0 != parameter);
                if domain & clause[mine].1 != 0 {
                    at += 1;
                    continue;
                }
                let (other, mask) = clause[1 - mine];
                let left = self.domains[other as usize];
                if left & !mask == 0 {
                    at += 1;
                    continue;
                }
                let domains = &self.domains;
                let free = (2..clause.len()).find(|&i| domains[clause[i].0 as usize] & clause[i].1 != 0);
                if let Some(free) = free {
                    clause.swap(mine, free);
                    let new = clause[mine].0 as usize;
                    self.watches[new].push(number);
                    watching.swap_remove(at);
                    continue;
                }
                if left & mask == 0 {
                    conflict = Some(number);
                    break;
                }
                self.narrow(other, mask, number);
                at += 1;
            }
            // A clause moves to other parameters only, so nothing was added here meanwhile.
            self.watches[parameter as usize] = watching;
            if conflict.is_some() {
                return conflict;
            }
        }
        None
    }

    /// Learns a clause from a conflict above level 0, jumps back to where it implies something, and applies it.
    fn learn(&mut self, conflict: u32) {
        let start = self.levels[self.levels.len() - 1];
        self.base.copy_from_slice(&self.domains);
        for entry in self.trail[start..].iter().rev() {
            self.base[entry.parameter as usize] = entry.before;
        }
        for at in 0..self.clauses[conflict as usize].len() {
            let (parameter, mask) = self.clauses[conflict as usize][at];
            self.join(parameter, mask);
        }
        let implied = loop {
            let Some(Entry { parameter, before, reason }) = self.undo() else {
                unreachable!("a decision stops")
            };
            let mask = self.masks[parameter as usize];
            if before & mask == 0 {
                continue;
            }
            let here = |&&at: &&u32| self.base[at as usize] & self.masks[at as usize] != 0;
            if self.active.iter().filter(here).count() == 1 {
                break parameter;
            }
            for at in 0..self.clauses[reason as usize].len() {
                let (other, allowed) = self.clauses[reason as usize][at];
                if other == parameter {
                    self.masks[parameter as usize] &= allowed;
                } else {
                    self.join(other, allowed);
                }
            }
        };
        let first = (implied, self.masks[implied as usize]);
        let mut clause = vec![first];
        self.bump += 1;
        for &at in &self.active {
            let mask = std::mem::take(&mut self.masks[at as usize]);
            self.activity[at as usize] = self.bump;
            if at != implied && mask != 0 {
                clause.push((at, mask));
            }
        }
        self.active.clear();
        // The latest level at which one of the others became false; what never could hold is dropped.
        let root = self.levels[0];
        let mut masks = std::mem::take(&mut self.masks);
        clause.iter().skip(1).for_each(|&(at, mask)| masks[at as usize] = mask);
        let mut back = 0;
        let mut kept = vec![first];
        for position in (root..self.trail.len()).rev() {
            let Entry { parameter, before, .. } = self.trail[position];
            let mask = masks[parameter as usize];
            if mask != 0 && before & mask != 0 {
                kept.push((parameter, mask));
                masks[parameter as usize] = 0;
                if back == 0 {
                    back = self.levels.partition_point(|&start| start <= position);
                }
            }
        }
        clause.iter().for_each(|&(at, _)| masks[at as usize] = 0);
        self.masks = masks;
        self.backjump(back);
        self.head = self.trail.len();
        let number = self.clauses.len() as u32;
        let unit = kept.len() == 1;
        self.clauses.push(kept);
        self.attach(number);
        if !unit {
            self.narrow(first.0, first.1, number);
        }
    }

    fn join(&mut self, parameter: u32, mask: u64) {
        let known = &mut self.masks[parameter as usize];
        if *known == 0 && !self.active.contains(&parameter) {
            self.active.push(parameter);
        }
        *known |= mask;
    }

    /// Drops what was learned, but for what it says about single parameters.
    fn forget(&mut self) {
        let learned = self.clauses.split_off(self.given);
        self.clauses.extend(learned.into_iter().filter(|clause| clause.len() < 3));
        self.given = self.given.min(self.clauses.len());
        self.watches.iter_mut().for_each(Vec::clear);
        self.domains.clone_from(&self.full);
        self.trail.clear();
        self.head = 0;
        for clause in 0..self.clauses.len() as u32 {
            self.attach(clause);
        }
        self.settle();
    }
}

/// QuickXplain over the origins of clauses.
struct Explain<'a> {
    solver: &'a Solver,
    partial: &'a [Option<u8>],
}

impl Explain<'_> {
    /// Whether these constraints alone forbid the partial row.
    fn forbids(&self, origins: &[usize]) -> bool {
        let chosen = |clause: &&Compiled| clause.origin == OWN || origins.contains(&clause.origin);
        let clauses = self.solver.origins.iter().filter(chosen).cloned().collect();
        Solver::with(self.solver.full.clone(), clauses).complete(self.partial, &[]).is_none()
    }

    fn minimise(&self, background: &mut Vec<usize>, changed: bool, candidates: &[usize]) -> Vec<usize> {
        if changed && self.forbids(background) {
            return Vec::new();
        }
        if candidates.len() <= 1 {
            return candidates.to_vec();
        }
        let (left, right) = candidates.split_at(candidates.len() / 2);
        let size = background.len();
        background.extend(left);
        let mut needed = self.minimise(background, true, right);
        background.truncate(size);
        background.extend(&needed);
        let more = self.minimise(background, !needed.is_empty(), left);
        background.truncate(size);
        needed.extend(more);
        needed
    }
}
