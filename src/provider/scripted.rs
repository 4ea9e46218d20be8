//! (the double)
