//! Switch values under suspicion, in words.

use crate::results::suspects::Suspect;

/// `yawol=on: in 4 of 4 failed combinations, in none that passed`
#[must_use]
pub fn sentence(suspect: &Suspect) -> String {
    let values: Vec<String> =
        suspect.values.iter().map(|(switch, value)| format!("{switch}={value}")).collect();
    let Suspect { explains, of, .. } = suspect;
    format!("{}: in {explains} of {of} failed combinations, in none that passed", values.join(" "))
}
