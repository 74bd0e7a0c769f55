//! A QR code as light and dark modules.

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of light around a code, without which readers do not find it.
pub(super) const QUIET: u32 = 4;

/// The modules of a code, without its quiet zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    size: u32,
    dark: Vec<bool>,
}

impl Code {
    /// None where the text is longer than any code.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
        let dark = (0..code.size())
            .flat_map(|y| (0..code.size()).map(move |x| (x, y)))
            .map(|(x, y)| code.get_module(x, y))
            .collect();
        let size = u32::try_from(code.size()).ok()?;
        Some(Self { size, dark })
    }

    /// Modules in a row, and rows.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Whether a module is dark; what is outside is light.
    #[must_use]
    pub fn is_dark(&self, x: u32, y: u32) -> bool {
        x < self.size
            && usize::try_from(y * self.size + x)
                .ok()
                .and_then(|at| self.dark.get(at).copied())
                .unwrap_or(false)
    }
}
