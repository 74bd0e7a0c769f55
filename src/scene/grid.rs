//! Where the tiles of a call are: as large as they can be, 16:9, apart from each other and from the
//! edge, which a television may hide.

use super::Rect;

/// How much of each side is left free, in thousandths: what an old screen hides.
const OVERSCAN: u32 = 25;

/// The tiles of everybody alike, the last row in the middle: one, two side by side, 2x2, 3x2, 3x3,
/// 4x4, and whatever else is larger on a screen of another shape.
pub(super) fn grid(count: usize, width: u32, height: u32) -> Vec<Rect> {
    let inside = inside(width, height);
    within(count, inside, gap(width, height), Columns::Any)
}

/// What the tile is of that is large.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Large {
    /// Somebody. The others are to be recognised too.
    Face,
    /// A screen, of which every pixel is to be read.
    Screen,
}

/// One tile that is large, and the others at its right in a column, or below it where the screen
/// stands upright.
///
/// Below each of those beside a screen so much is left free: a name over so small a tile would hide it.
pub(super) fn stage(
    beside: usize,
    (width, height): (u32, u32),
    of: Large,
    below: u32,
) -> (Rect, Vec<Rect>) {
    let inside = inside(width, height);
    let gap = gap(width, height);
    if beside == 0 {
        return (fitted(inside), Vec::new());
    }
    if width < height {
        return upright(beside, inside, gap);
    }
    let column = match of {
        Large::Face => even((inside.height - 4 * gap) / 5 * 16 / 9).min(inside.width / 3),
        Large::Screen => even(width.div_ceil(8) + 1),
    };
    let large = Rect {
        width: inside.width - column - gap,
        ..inside
    };
    let strip = Rect {
        x: large.x + large.width + gap,
        width: column,
        ..inside
    };
    let below = if of == Large::Screen { below } else { 0 };
    let strip = Rect {
        height: strip.height.saturating_sub(below),
        ..strip
    };
    let small = within(beside, strip, gap + below, Columns::One);
    (fitted(large), small)
}

fn upright(beside: usize, inside: Rect, gap: u32) -> (Rect, Vec<Rect>) {
    let mut large = fitted(inside);
    let left = Rect {
        height: inside.height - large.height - gap,
        ..inside
    };
    let mut small = within(beside, left, gap, Columns::Any);
    let first = small.first().map_or(0, |tile| tile.y);
    let last = small.last().map_or(0, |tile| tile.y + tile.height);
    // All of it in the middle.
    let free = left.height - (last - first);
    large.y = even(inside.y + free / 2);
    let top = large.y + large.height + gap;
    for tile in &mut small {
        tile.y = tile.y - first + top;
    }
    (large, small)
}

/// A small tile at the lower right, over the others.
pub(super) fn corner(width: u32, height: u32) -> Rect {
    let inside = inside(width, height);
    let wide = even(if width < height { width / 3 } else { width / 5 });
    let high = even(wide * 9 / 16);
    let gap = gap(width, height);
    Rect {
        x: even(inside.x + inside.width - wide - gap),
        y: even(inside.y + inside.height - high - gap),
        width: wide,
        height: high,
    }
}

/// Between two tiles. A border goes around one within half of it.
pub(super) fn gap(width: u32, height: u32) -> u32 {
    even(width.min(height) / 90).max(2)
}

fn inside(width: u32, height: u32) -> Rect {
    let (x, y) = (
        even(width * OVERSCAN / 1000),
        even(height * OVERSCAN / 1000),
    );
    Rect {
        x,
        y,
        width: width - 2 * x,
        height: height - 2 * y,
    }
}

/// In how many columns tiles may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    One,
    Any,
}

/// Tiles as large as they can be in a place, in rows of the same length but for the last.
fn within(count: usize, place: Rect, gap: u32, columns: Columns) -> Vec<Rect> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let most = if columns == Columns::One { 1 } else { count };
    let allowed = (1..=most).map(|columns| (columns, count.div_ceil(columns)));
    let size = |columns: u32, rows: u32| {
        let wide = place.width.saturating_sub(gap * (columns - 1)) / columns;
        let high = place.height.saturating_sub(gap * (rows - 1)) / rows;
        even(wide.min(high * 16 / 9))
    };
    // Of equals the one with most columns that leaves no row empty: two are side by side.
    let best = allowed.max_by_key(|(columns, rows)| (size(*columns, *rows), *columns));
    let Some((columns, rows)) = best else {
        return Vec::new();
    };
    let width = size(columns, rows);
    let height = even(width * 9 / 16);
    let all = |count: u32, each: u32| count * each + (count - 1) * gap;
    let top = place.y + (place.height - all(rows, height)) / 2;
    (0..count)
        .map(|index| {
            let (row, column) = (index / columns, index % columns);
            let in_row = columns.min(count - row * columns);
            let left = place.x + (place.width - all(in_row, width)) / 2;
            Rect {
                x: even(left + column * (width + gap)),
                y: even(top + row * (height + gap)),
                width,
                height,
            }
        })
        .collect()
}

/// A tile in the middle of a place.
fn fitted(place: Rect) -> Rect {
    let tiles = within(1, place, 0, Columns::One);
    tiles.first().copied().unwrap_or(place)
}

/// I420 has one colour for two by two pixels.
pub(super) fn even(figure: u32) -> u32 {
    figure & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: usize, width: u32, height: u32) -> Vec<String> {
        grid(count, width, height)
            .iter()
            .map(|it| format!("{}x{}+{}+{}", it.width, it.height, it.x, it.y))
            .collect()
    }

    fn shape(count: usize, width: u32, height: u32) -> (usize, usize) {
        let places = grid(count, width, height);
        let rows: std::collections::BTreeSet<u32> = places.iter().map(|it| it.y).collect();
        let first = places.iter().filter(|it| it.y == places[0].y).count();
        (first, rows.len())
    }

    #[test]
    fn the_usual_numbers() {
        assert!(grid(0, 1280, 720).is_empty());
        assert_eq!(told(1, 1280, 720), ["1216x684+32+18"]);
        assert_eq!(told(1, 1920, 1080), ["1824x1026+48+26"]);
        let shapes = [1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 16];
        let level = shapes.map(|count| shape(count, 1920, 1080));
        assert_eq!(
            level,
            [
                (1, 1),
                (2, 1),
                (2, 2),
                (2, 2),
                (3, 2),
                (3, 2),
                (3, 3),
                (3, 3),
                (4, 3),
                (4, 3),
                (4, 4)
            ]
        );
        let upright = [1, 2, 3, 4, 8].map(|count| shape(count, 1080, 1920));
        assert_eq!(upright, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 4)]);
    }

    #[test]
    fn a_stage_is_large_and_the_others_are_beside_it() {
        let (large, small) = stage(5, (1920, 1080), Large::Face, 50);
        assert_eq!(small.len(), 5);
        assert!(large.width * 10 >= 1920 * 7, "{large:?}");
        assert!(small.iter().all(|it| it.x > large.x + large.width));
        let screen = stage(5, (1920, 1080), Large::Screen, 48).0;
        assert!(screen.width > large.width && screen.width * 10 >= 1920 * 8);
        let (large, small) = stage(3, (1080, 1920), Large::Face, 50);
        assert!(small.iter().all(|it| it.y > large.y + large.height));
        let alone = stage(0, (1280, 720), Large::Face, 50).0;
        assert_eq!(alone, grid(1, 1280, 720)[0]);
    }

    #[test]
    fn no_tile_overlaps_or_leaves_the_picture() {
        for (width, height) in [
            (1280, 720),
            (1920, 1080),
            (3840, 2160),
            (1366, 768),
            (720, 1280),
            (640, 480),
        ] {
            for count in 1..=16 {
                let mut all = vec![grid(count, width, height)];
                for of in [Large::Face, Large::Screen] {
                    let (large, mut small) =
                        stage(count.min(6) - 1, (width, height), of, even(height / 22));
                    small.push(large);
                    all.push(small);
                }
                for places in all {
                    is_apart(&places, width, height);
                }
            }
        }
    }

    fn is_apart(places: &[Rect], width: u32, height: u32) {
        let gap = gap(width, height) - 1;
        for (index, a) in places.iter().enumerate() {
            assert!(a.x * 50 >= width && a.y * 50 >= height, "{a:?}");
            assert!((a.x + a.width) * 50 <= 49 * width, "{a:?}");
            assert!((a.y + a.height) * 50 <= 49 * height, "{a:?}");
            assert!(a.width >= width / 8 && a.height > 0, "{a:?}");
            let sides = [a.x, a.y, a.width, a.height];
            assert!(sides.iter().all(|figure| figure % 2 == 0));
            for b in &places[index + 1..] {
                let beside = a.x + a.width + gap <= b.x || b.x + b.width + gap <= a.x;
                let above = a.y + a.height + gap <= b.y || b.y + b.height + gap <= a.y;
                assert!(beside || above, "in {width}x{height}: {a:?} {b:?}");
            }
        }
    }
}
