//! aria
fn main() {}
