use proptest::prelude::*;

use super::*;

#[test]
fn a_picture_a_little_larger_than_its_tile_loses_its_edges() {
    let told = |picture, tile| {
        middle(picture, tile).map(|it| format!("{}x{}+{}+{}", it.width, it.height, it.x, it.y))
    };
    // Nine and six members on a wall of 1080 lines, as pages and other rooms send them.
    assert_eq!(told((640, 360), (592, 332)).unwrap(), "592x332+24+14");
    assert_eq!(told((640, 360), (600, 336)).unwrap(), "600x336+20+12");
    assert_eq!(told((640, 360), (640, 340)).unwrap(), "640x340+0+10");
    assert_eq!(told((640, 360), (640, 360)), None, "it has that size");
    assert_eq!(told((640, 360), (642, 360)), None, "it is smaller");
    assert_eq!(told((640, 360), (574, 332)), None, "much would be lost");
    assert_eq!(told((360, 640), (592, 332)), None, "it stands upright");
}

proptest! {
    #[test]
    fn what_is_shown_of_it_is_in_it_and_most_of_it(
        picture in (1u32..4096, 1u32..4096),
        tile in (1u32..2048, 1u32..2048),
    ) {
        let tile = (2 * tile.0, 2 * tile.1);
        if let Some(part) = middle(picture, tile) {
            prop_assert_eq!((part.width, part.height), tile);
            prop_assert!(part.x % 2 == 0 && part.y % 2 == 0);
            let (right, below) = (
                picture.0.checked_sub(part.x + part.width).unwrap(),
                picture.1.checked_sub(part.y + part.height).unwrap(),
            );
            // In the middle, but for what makes it even.
            prop_assert!(right - part.x <= 3 && below - part.y <= 3);
            prop_assert!(part.width * 10 >= picture.0 * 9 && part.height * 10 >= picture.1 * 9);
        }
    }
}

/// A picture whose every byte says where it is.
fn numbered(info: &gst_video::VideoInfo) -> gst::Buffer {
    let bytes: Vec<u8> = (0..=250).cycle().take(info.size()).collect();
    gst::Buffer::from_mut_slice(bytes)
}

fn info(width: u32, height: u32) -> gst_video::VideoInfo {
    gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
        .build()
        .unwrap()
}

/// Each plane of a part, row by row.
fn rows(picture: &gst::Buffer, info: &gst_video::VideoInfo, part: Rect) -> Vec<Vec<u8>> {
    use gst_video::VideoFrameExt as _;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(picture, info).unwrap();
    let mut rows = Vec::new();
    let figure = |it: u32| usize::try_from(it).unwrap();
    for (plane, share) in [(0, 1), (1, 2), (2, 2)] {
        let stride = usize::try_from(frame.plane_stride()[figure(plane)]).unwrap();
        let bytes = frame.plane_data(plane).unwrap();
        for y in part.y / share..(part.y + part.height) / share {
            let from = figure(y) * stride + figure(part.x / share);
            rows.push(bytes[from..from + figure(part.width / share)].to_vec());
        }
    }
    rows
}

#[test]
fn a_part_is_seen_through_the_memory_of_the_whole() {
    gst::init().unwrap();
    let whole = info(64, 36);
    let part = Rect {
        x: 4,
        y: 2,
        width: 58,
        height: 32,
    };
    let all = Rect { x: 0, y: 0, ..part };
    let plain = numbered(&whole);
    // As some decoders give them: a row is longer than the picture is wide, and planes are apart.
    let mut padded = numbered(&info(96, 48));
    gst_video::VideoMeta::add_full(
        padded.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::I420,
        64,
        36,
        &[0, 4608, 5760],
        &[96, 48, 48],
    )
    .unwrap();
    for picture in [plain, padded] {
        let cut = cut(&picture, &whole, part).unwrap();
        let expected = rows(&picture, &whole, part);
        assert_eq!(rows(&cut, &info(58, 32), all), expected);
        assert_eq!(expected.len(), 32 + 16 + 16);
        assert_eq!(
            cut.peek_memory(0).as_ptr(),
            picture.peek_memory(0).as_ptr(),
            "nothing was copied"
        );
    }
    // One that is shorter than it says.
    assert!(cut(&numbered(&info(64, 24)), &whole, part).is_none());
}
