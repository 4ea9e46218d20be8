//! What comes after what, as text that other tools draw: Graphviz and Mermaid.

use crate::types::one_line;
use std::fmt::Write as _;

/// Something that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is; any text.
    pub label: String,
    /// The nodes, by their index, that come right before it.
    pub after: Vec<usize>,
}

fn edges(nodes: &[Node]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let of = |(to, node): (usize, &Node)| node.after.iter().map(move |&from| (from, to)).collect::<Vec<_>>();
    nodes.iter().enumerate().flat_map(of).filter(|(from, _)| *from < nodes.len())
}

/// The graph in the language of Graphviz, from left to right.
#[must_use]
pub fn dot(nodes: &[Node]) -> String {
    let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
    for (number, node) in nodes.iter().enumerate() {
        let label = one_line(&node.label, 120).replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  n{number} [label=\"{label}\"];");
    }
    for (from, to) in edges(nodes) {
        let _ = writeln!(text, "  n{from} -> n{to};");
    }
    text + "}\n"
}

/// The graph as a Mermaid flowchart, from left to right.
#[must_use]
pub fn mermaid(nodes: &[Node]) -> String {
    let mut text = String::from("flowchart LR\n");
    for (number, node) in nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{number}[\"{}\"]", entities(&one_line(&node.label, 120)));
    }
    for (from, to) in edges(nodes) {
        let _ = writeln!(text, "  n{from} --> n{to}");
    }
    text
}

/// Mermaid writes special characters as `#` and a number or name. Its own syntax has many, so only what surely is
/// text stays as it is.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '=' | '-' | '_' | '/' | ':') {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<Node> {
        let node = |label: &str, after: &[usize]| Node { label: label.into(), after: after.to_vec() };
        vec![
            node("prepare", &[]),
            node("kubernetes=1.34 yawol=on", &[0]),
            node("hostile \"]; x --> y\n<script>\\", &[0, 1, 99]),
        ]
    }

    #[test]
    fn the_graph_is_text_for_graphviz() {
        insta::assert_snapshot!(dot(&nodes()));
    }

    #[test]
    fn the_graph_is_text_for_mermaid() {
        insta::assert_snapshot!(mermaid(&nodes()));
    }
}
