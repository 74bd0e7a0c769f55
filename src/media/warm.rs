//! What the first link of a process has to wait for, done before there is one.

use gstreamer as gst;

/// Makes the certificate that all links of this process share, and loads the plugins that a link
/// is made of.
///
/// It is an RSA key in GStreamer 1.22, which takes a third of a second on a PC and seconds on a
/// small board, and whoever joins first would wait for it.
pub fn warm_up() {
    let warming = std::thread::Builder::new()
        .name("warming".to_owned())
        .spawn(|| {
            for element in ["dtlsdec", "dtlssrtpenc", "webrtcbin", "nicesrc", "srtpdec"] {
                // A missing one is reported by whoever needs it.
                let _ = gst::ElementFactory::make(element).build();
            }
        });
    if let Err(error) = warming {
        tracing::debug!(%error, "no thread to warm up");
    }
}
