//! Histories played against the hub, in virtual time.
//!
//! Each test reads like a transcript: who did what, and who heard what of it.

mod play;
mod admitting;
mod joining;
mod sharing;
mod negotiating;
mod returning;
mod limits;
mod meeting;
mod histories;
