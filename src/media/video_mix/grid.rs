//! Where everybody is in the picture.

/// A place in the picture, in pixels; all figures are even, as I420 needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: u32,
    /// Downwards.
    pub height: u32,
}

/// The places of `count` tiles of 16:9 in a picture: one, two side by side, 2x2, 3x2, 3x3, 4x4 and
/// so on, as large as they can be, in the middle, and the last row in the middle of its own.
#[must_use]
pub fn grid(count: usize, width: u32, height: u32) -> Vec<Place> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return Vec::new();
    }
    let columns = match count {
        1 => 1,
        2 => 2,
        _ => (1..=count)
            .find(|side| side.saturating_mul(*side) >= count)
            .unwrap_or(1),
    };
    let rows = count.div_ceil(columns);
    let tile_width = even((width / columns).min(height / rows * 16 / 9));
    let tile_height = even(tile_width * 9 / 16);
    let top = (height - tile_height * rows) / 2;
    (0..count)
        .map(|index| {
            let (row, column) = (index / columns, index % columns);
            let in_row = columns.min(count - row * columns);
            let left = (width - tile_width * in_row) / 2;
            Place {
                x: even(left + column * tile_width),
                y: even(top + row * tile_height),
                width: tile_width,
                height: tile_height,
            }
        })
        .collect()
}

fn even(figure: u32) -> u32 {
    figure & !1
}

#[cfg(test)]
mod tests {
    use super::grid;

    fn told(count: usize) -> Vec<String> {
        grid(count, 1280, 720)
            .iter()
            .map(|it| format!("{}x{}+{}+{}", it.width, it.height, it.x, it.y))
            .collect()
    }

    #[test]
    fn the_usual_numbers() {
        assert!(grid(0, 1280, 720).is_empty());
        assert_eq!(told(1), ["1280x720+0+0"]);
        assert_eq!(told(2), ["640x360+0+180", "640x360+640+180"]);
        assert_eq!(told(3), ["640x360+0+0", "640x360+640+0", "640x360+320+360"]);
        assert_eq!(told(4)[3], "640x360+640+360");
        assert_eq!(told(5)[0], "426x238+0+122");
        assert_eq!(told(5)[3], "426x238+214+360");
        assert_eq!(told(6)[5], "426x238+852+360");
        assert_eq!(told(9)[8], "426x238+852+478");
        assert_eq!(told(16)[15], "320x180+960+540");
        assert_eq!(grid(1, 1920, 1080)[0].width, 1920);
        // A portrait screen has room above and below.
        assert_eq!(grid(1, 720, 1280)[0].height, 404);
    }

    #[test]
    fn no_tile_overlaps_or_leaves_the_picture() {
        for (width, height) in [
            (1280, 720),
            (1920, 1080),
            (1366, 768),
            (720, 1280),
            (640, 480),
        ] {
            for count in 1..40 {
                let places = grid(count, width, height);
                assert_eq!(places.len(), count);
                for (index, a) in places.iter().enumerate() {
                    assert!(a.x + a.width <= width && a.y + a.height <= height);
                    assert!(a.width > 0 && a.height > 0);
                    for b in &places[index + 1..] {
                        let beside = a.x + a.width <= b.x || b.x + b.width <= a.x;
                        let above = a.y + a.height <= b.y || b.y + b.height <= a.y;
                        assert!(beside || above, "{count} in {width}x{height}: {a:?} {b:?}");
                    }
                }
            }
        }
    }
}
