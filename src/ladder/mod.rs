//! Who gets which tier, and how much each branch yields.

mod tier;

pub use tier::Tier;
