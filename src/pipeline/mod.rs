//! Pipeline files: what a camera, an encoder or a screen is made of.
