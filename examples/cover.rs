//! scratch
use clap::Parser;
use stack_e2e::matrix::cover::*;
use std::path::PathBuf;
#[derive(Parser)]
struct Args {
    #[arg(long)]
    casa_model: Option<PathBuf>,
    #[arg(long)]
    casa_constraints: Option<PathBuf>,
    #[arg(long)]
    spec: Option<String>,
    #[arg(long, default_value_t = 2)]
    strength: usize,
    #[arg(long)]
    rows: Option<PathBuf>,
    #[arg(long)]
    seconds: Option<f64>,
    #[arg(long)]
    steps: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}
fn cpu() -> f64 {
    let u = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let f = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    f(u.user_time()) + f(u.system_time())
}
fn main() {
    let a = Args::parse();
    let mut levels: Vec<u8> = vec![];
    let mut clauses = vec![];
    if let Some(s) = &a.spec {
        for p in s.split_whitespace() {
            let (v, n) = p.split_once('^').unwrap_or((p, "1"));
            for _ in 0..n.parse().unwrap() {
                levels.push(v.parse().unwrap());
            }
        }
    } else {
        let t = std::fs::read_to_string(a.casa_model.unwrap()).unwrap();
        let w: Vec<usize> = t.split_whitespace().map(|x| x.parse().unwrap()).collect();
        levels = w[2..2 + w[1]].iter().map(|&x| x as u8).collect();
        let mut sy = vec![];
        for (i, &l) in levels.iter().enumerate() {
            for v in 0..l {
                sy.push((i, v));
            }
        }
        if let Some(c) = a.casa_constraints {
            let t = std::fs::read_to_string(c).unwrap();
            let mut w = t.split_whitespace();
            let n: usize = w.next().unwrap().parse().unwrap();
            for o in 0..n {
                let m: usize = w.next().unwrap().parse().unwrap();
                let mut l = vec![];
                for _ in 0..m {
                    let s = w.next().unwrap();
                    let x: usize = w.next().unwrap().parse().unwrap();
                    l.push(Literal { parameter: sy[x].0, value: sy[x].1, equal: s == "+" });
                }
                clauses.push(Clause { literals: l, origin: o });
            }
        }
    }
    let m = Model::new(levels, clauses).unwrap();
    let mut r = Request::of_strength(&m, a.strength);
    r.seed = a.seed;
    r.steps = a.steps.unwrap_or(u64::MAX);
    r.threads = a.threads;
    let limit = a.seconds.unwrap_or(1e9);
    let stop = move || cpu() >= limit;
    let c = cover_until(&m, &r, Some(&stop)).unwrap();
    if let Some(p) = a.rows {
        std::fs::write(
            p,
            c.rows
                .iter()
                .map(|r| r.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(" ") + "\n")
                .collect::<String>(),
        )
        .unwrap();
    }
    println!(
        "{} bound {} {} required {} infeasible {} steps {} cpu {:.3}",
        c.rows.len(),
        c.lower_bound,
        if c.optimal { "optimal" } else { "" },
        c.required,
        c.infeasible.len(),
        c.steps,
        cpu()
    );
}
