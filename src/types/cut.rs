//! Long texts made short without hiding that they were longer.

use std::borrow::Cow;

/// At most about `max` bytes: the head and the tail, cut at line ends where there are any, with the number of bytes
/// left out between them.
#[must_use]
pub fn head_and_tail(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let (mut head, mut tail) = (max / 2, text.len() - max / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    if let Some(end) = text[..head].rfind('\n') {
        head = end + 1;
    }
    if let Some(start) = text[tail..].find('\n') {
        tail += start + 1;
    }
    let left_out = tail - head;
    Cow::Owned(format!("{}[… {left_out} bytes left out …]\n{}", &text[..head], &text[tail..]))
}

/// Takes any number of pieces of a text and keeps its head and its tail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    head: String,
    tail: String,
    left_out: usize,
}

impl Gathered {
    /// Adds a piece; no more than about twice `max` bytes are held.
    pub fn push(&mut self, mut piece: &str, max: usize) {
        let half = max / 2;
        if self.tail.is_empty() && self.left_out == 0 {
            let mut room = half.saturating_sub(self.head.len()).min(piece.len());
            while !piece.is_char_boundary(room) {
                room -= 1;
            }
            self.head.push_str(&piece[..room]);
            piece = &piece[room..];
        }
        self.tail.push_str(piece);
        if self.tail.len() > max {
            let mut drop = self.tail.len() - half;
            while !self.tail.is_char_boundary(drop) {
                drop += 1;
            }
            self.tail.drain(..drop);
            self.left_out += drop;
        }
    }

    /// What was kept, with a note about what was not.
    #[must_use]
    pub fn text(&self) -> String {
        match self.left_out {
            0 => format!("{}{}", self.head, self.tail),
            bytes => format!("{}\n[… {bytes} bytes left out …]\n{}", self.head, self.tail),
        }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_goes_first() {
        assert_eq!(head_and_tail("abc", 3), "abc");
        assert_eq!(head_and_tail("1\n2\n3\n4\n5\n6\n", 8), "1\n2\n[… 6 bytes left out …]\n6\n");
    }

    proptest! {
        #[test]
        fn gathering_is_bounded_and_loses_neither_head_nor_tail(
            pieces in proptest::collection::vec("\\PC{0,40}", 0..20), max in 8_usize..100,
        ) {
            let mut gathered = Gathered::default();
            for piece in &pieces {
                gathered.push(piece, max);
                prop_assert!(gathered.len() <= max * 2 + 8);
            }
            let whole = pieces.concat();
            prop_assert!(whole.starts_with(&gathered.head) && whole.ends_with(&gathered.tail));
            prop_assert_eq!(gathered.len() + gathered.left_out, whole.len());
        }
    }
}
