//! Whether a keyframe is one that a browser can begin with.

use crate::pipeline::Codec;

/// Looks at an encoded keyframe. H.264 is a byte stream with start codes.
pub(super) fn check_keyframe(codec: Codec, frame: &[u8]) -> Result<(), String> {
    match codec {
        Codec::Vp8 => vp8(frame),
        Codec::H264 => h264(frame),
    }
}

/// RFC 6386, 9.1: the lowest bit of the frame tag, and the start code behind the tag.
fn vp8(frame: &[u8]) -> Result<(), String> {
    match frame {
        [tag, _, _, 0x9d, 0x01, 0x2a, ..] if tag & 1 == 0 => Ok(()),
        _ => Err("it has not the head of a VP8 keyframe".to_owned()),
    }
}

/// The units of H.264 that matter here (ITU-T H.264, table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

fn h264(frame: &[u8]) -> Result<(), String> {
    let units: Vec<&[u8]> = units(frame).collect();
    let unit = |kind: u8| units.iter().copied().find(|unit| unit[0] & 0x1f == kind);
    if unit(IDR).is_none() {
        return Err("it is no IDR picture".to_owned());
    }
    let Some(sps) = unit(SPS) else {
        return Err("no sequence parameter set comes with it".to_owned());
    };
    if unit(PPS).is_none() {
        return Err("no picture parameter set comes with it".to_owned());
    }
    let &[_, profile, constraints, level, ..] = sps else {
        return Err("its sequence parameter set is cut short".to_owned());
    };
    // As a description's profile-level-id is read: RFC 6184, table 5.
    let constrained_baseline = match profile {
        66 => constraints & 0x40 != 0,
        77 => constraints & 0x80 != 0,
        88 => constraints & 0xc0 == 0xc0,
        _ => false,
    };
    if constrained_baseline {
        Ok(())
    } else {
        let id = format!("{profile:02x}{constraints:02x}{level:02x}");
        Err(format!(
            "its profile is {id}, which is not constrained baseline"
        ))
    }
}

/// What is between start codes, each beginning with its header; none is empty.
fn units(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> = (2..frame.len())
        .filter(|&at| frame[at - 2..=at] == [0, 0, 1])
        .map(|at| at + 1)
        .collect();
    let ends: Vec<usize> = starts.iter().skip(1).map(|start| start - 3).collect();
    starts
        .into_iter()
        .zip(ends.into_iter().chain([frame.len()]))
        .map(|(start, end)| &frame[start..end])
        .filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units behind start codes.
    fn stream(units: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0];
        for unit in units {
            bytes.extend([0, 0, 1]);
            bytes.extend(*unit);
        }
        bytes
    }

    #[test]
    fn only_a_complete_idr_of_constrained_baseline_is_a_keyframe() {
        let sps: &[u8] = &[0x67, 66, 0xc0, 31, 1];
        let pps: &[u8] = &[0x68, 1];
        let idr: &[u8] = &[0x65, 1, 2, 3];
        let said = |units: &[&[u8]]| check_keyframe(Codec::H264, &stream(units));
        assert_eq!(said(&[&[9, 16], sps, pps, idr]), Ok(()));
        for (units, why) in [
            (&[sps, pps, &[0x61, 1]][..], "it is no IDR picture"),
            (&[pps, idr], "no sequence parameter set comes with it"),
            (&[sps, idr], "no picture parameter set comes with it"),
            (
                &[&[0x67, 66], pps, idr],
                "its sequence parameter set is cut short",
            ),
            (
                &[&[0x67, 100, 0, 40], pps, idr],
                "its profile is 640028, which is not constrained baseline",
            ),
            (
                &[&[0x67, 66, 0x80, 31], pps, idr],
                "its profile is 42801f, which is not constrained baseline",
            ),
            (&[], "it is no IDR picture"),
        ] {
            assert_eq!(said(units).unwrap_err(), why);
        }
        // Main and extended profile may say that they keep within it.
        assert_eq!(said(&[&[0x67, 77, 0x80, 31], pps, idr]), Ok(()));
        assert!(said(&[&[0x67, 77, 0x40, 31], pps, idr]).is_err());
        assert_eq!(said(&[&[0x67, 88, 0xc0, 31], pps, idr]), Ok(()));
    }

    #[test]
    fn a_vp8_keyframe_has_its_head() {
        let head = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0, 5];
        assert_eq!(check_keyframe(Codec::Vp8, &head), Ok(()));
        let mut other = head;
        other[0] |= 1;
        assert!(check_keyframe(Codec::Vp8, &other).is_err());
        assert!(check_keyframe(Codec::Vp8, &head[..5]).is_err());
    }
}
