//! Searches starters for covers of pairs, from which the table in `src/matrix/cover/starters.rs` is made.
//!
//! ```text
//! cargo run --release --example starters -- VALUES COLUMNS..COLUMNS [MILLION_MOVES [SEED]]
//! ```
//!
//! For each number of columns it tries the ways to divide the values into cycles and fixed points, the fewest rows first, and
//! prints `rows, known(values, modulus, cycles, "vector")` for what it finds.

use std::error::Error;
use std::io::Write;

use stack_e2e::matrix::cover::{Model, Request, cover, starter};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [values, columns, rest @ ..] = args.as_slice() else {
        return Err("see the first lines of this file".into());
    };
    let (first, last) = columns.split_once("..").ok_or("columns are FIRST..LAST")?;
    let values: usize = values.parse()?;
    let moves: u64 = rest.first().map_or(Ok(20), |text| text.parse())?;
    let seed: u64 = rest.get(1).map_or(Ok(1), |text| text.parse())?;
    let mut fewest = usize::MAX;
    for columns in (first.parse::<usize>()?..=last.parse()?).rev() {
        for (rows, modulus, cycles) in ways(columns, values)? {
            if rows >= fewest {
                break;
            }
            // After a million moves another vector has better chances.
            let found = (0..moves)
                .find_map(|part| starter(columns, values, modulus, cycles, seed ^ part << 32, 1_000_000));
            if let Some(vector) = found {
                fewest = rows;
                writeln!(std::io::stdout(), "{rows}, known({values}, {modulus}, {cycles}, \"{vector}\")")?;
                break;
            }
        }
    }
    Ok(())
}

/// Rows, modulus and cycles.
type Way = (usize, usize, usize);

/// What is not out of the question, the fewest rows first.
fn ways(columns: usize, values: usize) -> Result<Vec<Way>, Box<dyn Error>> {
    let mut ways = Vec::new();
    for fixed in 0..=values.min(5) {
        let core = match fixed {
            0 => 0,
            _ => {
                let model = Model::new(vec![u8::try_from(fixed)?; columns], Vec::new())?;
                cover(&model, &Request { steps: 100_000, ..Request::of_strength(&model, 2) })?.rows.len()
            }
        };
        for cycles in (1..=values - fixed).filter(|cycles| (values - fixed).is_multiple_of(*cycles)) {
            let modulus = (values - fixed) / cycles;
            // The pairs at a distance are as many as the columns, and each meets one condition.
            let conditions = cycles * (cycles * modulus + 2 * fixed);
            if modulus > 1 && conditions <= columns {
                ways.push((columns * modulus + core, modulus, cycles));
            }
        }
    }
    ways.sort_unstable();
    Ok(ways)
}
