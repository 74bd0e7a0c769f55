//! The waiting picture: the room's name at the left, the way in at the right; upright, one above
//! the other. How the device is stands at the bottom, the time at the top right.

use super::{
    Align, Code, Colour, Facts, Font, Measure, Part, Rect, Scene, Shape, Way,
    call::RECORDED,
    code::QUIET,
    colours::{GROUND, LINE, STOP, SURFACE, TEXT, TEXT_DIM, WARN},
    text::{Block, Limits, fit},
};

/// Lines of what the device says of itself.
const STATES: usize = 5;
/// The share of a picture's width that a card takes beside the name, in percent.
const CARD: u32 = 38;
/// What gives way to a code that is large enough: which part of the height the PIN has, and whether
/// there is more than the address.
const TIGHTER: [(u32, bool); 4] = [(9, true), (9, false), (12, false), TIGHTEST];
const TIGHTEST: (u32, bool) = (16, false);

/// The picture for somebody who stands in front of the device, of at least 320 pixels each way.
#[must_use]
pub fn waiting(facts: &Facts, width: u32, height: u32, measure: Measure<'_>) -> Scene {
    let mut it = Drawing::new(width, height, measure);
    let body = it.frame(facts, None, (width, height));
    match &facts.way {
        Some(way) if width * 4 > height * 5 => it.level(facts, way, body, (width, height)),
        Some(way) => it.upright(facts, way, body, height),
        None => it.name(it.title(facts, body, true), body, false),
    }
    let mut scene = it.scene(facts.minutes, width, height);
    if facts.is_dim {
        // All of it by as much: a code is read by what is lighter than what.
        for shape in &mut scene.shapes {
            let colour = shape.colour_mut();
            *colour = colour.dimmed();
        }
        scene.ground = scene.ground.dimmed();
    }
    scene
}

/// By how much everything is moved to the right and down in a minute: nine places in turn, half a
/// step apart.
fn moved(minute: u32, step: u32) -> (i32, i32) {
    let by = i32::try_from(step.div_ceil(2)).unwrap_or(0);
    let (column, row) = [
        (0, 0),
        (1, 0),
        (1, 1),
        (0, 1),
        (-1, 1),
        (-1, 0),
        (-1, -1),
        (0, -1),
        (1, -1),
    ][to_usize(minute % 9)];
    (column * by, row * by)
}

pub(super) struct Drawing<'a> {
    pub(super) measure: Measure<'a>,
    /// Eight pixels of a picture of 720: everything is apart by so many of these.
    pub(super) step: u32,
    /// The smallest letters.
    pub(super) least: u32,
    /// The shorter side.
    pub(super) base: u32,
    shapes: Vec<Shape>,
}

/// The room's name and what to do.
struct Title {
    name: Block,
    sentence: Option<Block>,
    height: u32,
}

/// The way in, as it goes onto its card.
struct Plan {
    code: Option<Code>,
    /// Pixels of a module.
    module: u32,
    /// Of the code with its quiet zone.
    side: u32,
    texts: Vec<(Block, Colour, u32)>,
    height: u32,
}

/// The way in, where it goes.
pub(super) struct Card {
    plan: Plan,
    place: Rect,
}

impl<'a> Drawing<'a> {
    /// A picture of this size with nothing in it.
    pub(super) fn new(width: u32, height: u32, measure: Measure<'a>) -> Self {
        Self {
            measure,
            step: (width.min(height) / 90).max(1),
            least: height.div_ceil(36),
            base: width.min(height),
            shapes: Vec::new(),
        }
    }

    /// Draws what is at the top and at the bottom of every picture without a call, with the room's
    /// name where it stands nowhere else. Returns what is free between them.
    pub(super) fn frame(
        &mut self,
        facts: &Facts,
        room: Option<&str>,
        (width, height): (u32, u32),
    ) -> Rect {
        let margin = 6 * self.step;
        let inside = Rect {
            x: margin,
            y: margin,
            width: width - 2 * margin,
            height: height - 2 * margin,
        };
        let top = self.top(facts, room, inside);
        let bottom = self.states(&facts.parts, inside);
        Rect {
            y: top,
            height: bottom.saturating_sub(top),
            ..inside
        }
    }

    /// What was drawn, moved by a little, as it is in this minute: nothing burns in, of a visitor
    /// who waits through a night either.
    pub(super) fn scene(mut self, minutes: u32, width: u32, height: u32) -> Scene {
        let (right, down) = moved(minutes, self.step);
        for shape in &mut self.shapes {
            let place = shape.place_mut();
            // The margin is wider than that.
            place.x = place.x.saturating_add_signed(right);
            place.y = place.y.saturating_add_signed(down);
        }
        Scene {
            width,
            height,
            ground: GROUND,
            shapes: self.shapes,
        }
    }

    /// The time, at the top right, and at the left that this is recorded, and which room it is.
    /// Returns where what is below may begin.
    fn top(&mut self, facts: &Facts, room: Option<&str>, inside: Rect) -> u32 {
        if facts.clock.is_none() && !facts.call.is_recorded && room.is_none() {
            return inside.y;
        }
        let font = Font {
            pixels: (self.base / 20).max(self.least),
            bold: false,
        };
        let place = Rect {
            height: line(font),
            ..inside
        };
        let mut free = place;
        if let Some((hour, minute)) = facts.clock {
            let words = format!("{hour:02}:{minute:02}");
            let wide = (self.measure)(&words, font) + 4 * self.step;
            free.width = free.width.saturating_sub(wide);
            self.text(place, words, font, TEXT_DIM, Align::Right);
        }
        if facts.call.is_recorded {
            let wide = (self.measure)(RECORDED, font) + 4 * self.step;
            free.x += wide.min(free.width);
            free.width = free.width.saturating_sub(wide);
            self.text(place, RECORDED.to_owned(), font, STOP, Align::Left);
        }
        if let Some(room) = room {
            let limits = Limits {
                largest: font.pixels,
                least: self.least,
                width: free.width,
                lines: 1,
                bold: false,
            };
            let name = fit(room, limits, self.measure);
            // Three letters of it say nothing.
            if free.width > 6 * font.pixels {
                self.lines(name, place.height, free, TEXT_DIM, Align::Left);
            }
        }
        place.y + place.height + 2 * self.step
    }

    /// How the device is, at the bottom. Returns where what is above it must end.
    fn states(&mut self, parts: &[Part], inside: Rect) -> u32 {
        let font = Font {
            pixels: self.least,
            bold: false,
        };
        let mut rows = self.rows(parts.iter(), font, inside.width);
        if rows.len() > STATES {
            // What is well can be left unsaid.
            rows = self.rows(parts.iter().filter(|part| part.wrong), font, inside.width);
            rows.truncate(STATES);
        }
        let row = line(font);
        let count = u32::try_from(rows.len()).unwrap_or(0);
        let top = (inside.y + inside.height).saturating_sub(count * row);
        for (y, texts) in (top..).step_by(to_usize(row.max(1))).zip(rows) {
            for (x, width, words, colour) in texts {
                let place = Rect {
                    x: inside.x + x,
                    y,
                    width,
                    height: row,
                };
                self.text(place, words, font, colour, Align::Left);
            }
        }
        if count == 0 {
            return top;
        }
        let place = Rect {
            y: top.saturating_sub(3 * self.step),
            height: (self.step / 8).max(1),
            ..inside
        };
        self.shapes.push(Shape::Panel {
            place,
            corner: 0,
            colour: LINE,
        });
        place.y.saturating_sub(4 * self.step)
    }

    /// Parts beside each other, and in the next row where there is no room.
    fn rows<'p>(
        &self,
        parts: impl Iterator<Item = &'p Part>,
        font: Font,
        width: u32,
    ) -> Vec<Vec<(u32, u32, String, Colour)>> {
        let mut rows: Vec<Vec<_>> = Vec::new();
        let mut next = 0;
        for part in parts {
            let colour = if part.wrong { WARN } else { TEXT_DIM };
            let limits = Limits {
                largest: font.pixels,
                least: font.pixels,
                width,
                lines: 2,
                bold: font.bold,
            };
            for words in fit(&part.words, limits, self.measure).lines {
                let wide = (self.measure)(&words, font).min(width);
                match rows.last_mut() {
                    Some(row) if next + wide <= width => row.push((next, wide, words, colour)),
                    _ => {
                        next = 0;
                        rows.push(vec![(0, wide, words, colour)]);
                    }
                }
                next += wide + 5 * self.step;
            }
        }
        rows
    }

    /// Name above card. Code and PIN come before the sentence, and before large letters.
    fn upright(&mut self, facts: &Facts, way: &Way, body: Rect, whole: u32) {
        let mut last = None;
        for tightness in TIGHTER {
            for (sentence, share) in [(true, 30), (false, 20), (false, 12)] {
                let name = Rect {
                    height: body.height * share / 100,
                    ..body
                };
                let title = self.title(facts, name, sentence);
                let down = title.height + 4 * self.step;
                let card = Rect {
                    y: body.y + down,
                    height: body.height.saturating_sub(down),
                    ..body
                };
                let plan = self.plan(way, card, whole, tightness);
                let is_large = plan.side * 4 >= whole;
                last = Some((title, plan, card));
                if is_large {
                    break;
                }
            }
            if last
                .as_ref()
                .is_some_and(|(_, plan, _)| plan.side * 4 >= whole)
            {
                break;
            }
        }
        if let Some((title, plan, card)) = last {
            self.name(title, body, true);
            self.card(plan, card);
        }
    }

    /// Name beside card.
    fn level(&mut self, facts: &Facts, way: &Way, body: Rect, (width, height): (u32, u32)) {
        let (name, card) = self.beside_each_other(body, (width, height));
        self.name(self.title(facts, name, true), name, false);
        let plan = self.roomy_plan(way, card, height);
        self.card(plan, card);
    }

    /// Where the name is, and where the card.
    fn beside_each_other(&self, body: Rect, (width, height): (u32, u32)) -> (Rect, Rect) {
        // An old screen is narrow: there the PIN needs more.
        let wide = (width * CARD / 100).max(height * 3 / 5);
        let name = Rect {
            width: body.width - wide - 6 * self.step,
            ..body
        };
        let card = Rect {
            x: body.x + body.width - wide,
            width: wide,
            ..body
        };
        (name, card)
    }

    /// The way in on a card whose code is large, whatever else has to go.
    fn roomy_plan(&self, way: &Way, card: Rect, height: u32) -> Plan {
        let mut plans = TIGHTER
            .into_iter()
            .map(|tightness| self.plan(way, card, height, tightness));
        let large = plans.find(|plan| plan.side * 4 >= height);
        large.unwrap_or_else(|| self.plan(way, card, height, TIGHTEST))
    }

    /// The way in where it is while nobody is there, at the right, or else below, where there is
    /// room for it; and what it leaves for something else: above it such a share, in percent.
    pub(super) fn way_beside(
        &self,
        way: &Way,
        body: Rect,
        share: u32,
        (width, height): (u32, u32),
    ) -> Option<(Rect, Card)> {
        if width * 4 > height * 5 {
            let (left, place) = self.beside_each_other(body, (width, height));
            let plan = self.roomy_plan(way, place, height);
            return Some((left, Card { plan, place }));
        }
        let above = body.height * share / 100;
        let down = above + 4 * self.step;
        let place = Rect {
            y: body.y + down,
            height: body.height.saturating_sub(down),
            ..body
        };
        let plan = self.roomy_plan(way, place, height);
        if plan.side == 0 || plan.height > place.height {
            return None;
        }
        let left = Rect {
            height: above,
            ..body
        };
        Some((left, Card { plan, place }))
    }

    /// Draws it.
    pub(super) fn draw(&mut self, card: Card) {
        self.card(card.plan, card.place);
    }

    /// The room's name and what to do, as large as a place allows.
    fn title(&self, facts: &Facts, place: Rect, sentence: bool) -> Title {
        let sentence = match &facts.way {
            _ if !sentence => None,
            Some(way) if way.pin.is_some() => Some("Scan the code, or type address and PIN."),
            Some(_) => Some("Scan the code, or type the address."),
            None => Some("Nobody can join at present."),
        };
        let small = Limits {
            largest: (self.base / 27).max(self.least),
            least: self.least,
            width: place.width,
            lines: 3,
            bold: false,
        };
        let sentence = sentence.map(|words| fit(words, small, self.measure));
        let below = sentence.as_ref().map_or(0, |it| height(it) + self.gap());
        let left = place.height.saturating_sub(below);
        let mut large = Limits {
            largest: self.base / 8,
            bold: true,
            ..small
        };
        // One line, if that is nearly as large.
        let one = Limits {
            least: (large.largest * 3 / 4).max(self.least),
            lines: 1,
            ..large
        };
        let mut name = fit(&facts.room, one, self.measure);
        if name.is_shortened {
            name = fit(&facts.room, large, self.measure);
        }
        while height(&name) > left && large.largest > self.least {
            large.largest = (large.largest * 7 / 8).max(self.least);
            name = fit(&facts.room, large, self.measure);
        }
        Title {
            height: height(&name) + below,
            name,
            sentence,
        }
    }

    /// Draws it, at the top of a place or in its middle.
    fn name(&mut self, it: Title, place: Rect, top: bool) {
        let room = if top {
            0
        } else {
            place.height.saturating_sub(it.height) / 2
        };
        let y = place.y + room;
        let row = line(it.name.font);
        let down = self.lines(it.name, row, Rect { y, ..place }, TEXT, Align::Left);
        if let Some(sentence) = it.sentence {
            let y = y + down + self.gap();
            let row = line(sentence.font);
            self.lines(sentence, row, Rect { y, ..place }, TEXT_DIM, Align::Left);
        }
    }

    /// The way in, on a card that is no larger than its place.
    fn plan(&self, way: &Way, place: Rect, whole: u32, (pin, beside): (u32, bool)) -> Plan {
        let width = place.width.saturating_sub(2 * self.pad());
        let most = place.height.saturating_sub(2 * self.pad());
        let texts = self.texts(way, width, whole / pin, beside);
        let words: u32 = texts
            .iter()
            .map(|(block, _, gap)| height(block) + gap)
            .sum();
        let code = Code::of(&way.link);
        let modules = code.as_ref().map_or(1, |code| code.size() + 2 * QUIET);
        let module = most.saturating_sub(words).min(width) / modules;
        let side = if code.is_some() { module * modules } else { 0 };
        Plan {
            code: code.filter(|_| module > 0),
            module,
            side,
            texts,
            height: side + words + 2 * self.pad(),
        }
    }

    /// Draws it: code, address, PIN, on a card in the middle of a place.
    fn card(&mut self, plan: Plan, place: Rect) {
        let used = plan.height.min(place.height);
        let card = Rect {
            y: place.y + (place.height - used) / 2,
            height: used,
            ..place
        };
        self.shapes.push(Shape::Panel {
            place: card,
            corner: 3 * self.step / 2,
            colour: SURFACE,
        });
        let panel = Rect {
            x: card.x + (card.width - plan.side) / 2,
            y: card.y + self.pad(),
            width: plan.side,
            height: plan.side,
        };
        if let Some(code) = plan.code {
            let module = plan.module;
            self.shapes.push(Shape::Panel {
                place: panel,
                corner: (2 * module).min(3 * self.step / 2),
                colour: TEXT,
            });
            let size = code.size() * module;
            self.shapes.push(Shape::Code {
                place: Rect {
                    x: panel.x + QUIET * module,
                    y: panel.y + QUIET * module,
                    width: size,
                    height: size,
                },
                code,
                colour: GROUND,
            });
        }
        let mut y = panel.y + plan.side;
        for (block, colour, gap) in plan.texts {
            y += gap;
            let row = line(block.font);
            let place = Rect {
                x: card.x + self.pad(),
                y,
                width: card.width.saturating_sub(2 * self.pad()),
                height: row,
            };
            y += self.lines(block, row, place, colour, Align::Middle);
        }
    }

    /// Between the edge of a card and what is on it.
    fn pad(&self) -> u32 {
        3 * self.step
    }

    /// Between what belongs together.
    fn gap(&self) -> u32 {
        2 * self.step
    }

    /// What is written on the card, from the top, and how far each is below what is above it.
    fn texts(&self, way: &Way, width: u32, pin: u32, beside: bool) -> Vec<(Block, Colour, u32)> {
        let limits = |largest: u32, lines, bold| Limits {
            largest: largest.max(self.least),
            least: self.least,
            width,
            lines,
            bold,
        };
        let one = limits(self.base / 24, 1, false);
        let mut address = fit(&way.address, one, self.measure);
        if address.is_shortened {
            address = fit(&way.address, limits(self.least, 4, false), self.measure);
        }
        let mut texts = vec![(address, TEXT, self.gap())];
        if beside {
            let lines = way.beside.iter().map(|words| {
                let block = fit(words, limits(self.least, 1, false), self.measure);
                (block, TEXT_DIM, self.gap())
            });
            texts.extend(lines);
        }
        if let Some(pin_words) = &way.pin {
            let what = fit("PIN", limits(self.least, 1, false), self.measure);
            texts.push((what, TEXT_DIM, self.gap()));
            let pin = limits(pin, 1, true);
            texts.push((fit(&in_threes(pin_words), pin, self.measure), TEXT, 0));
        }
        texts
    }

    /// Lines one below the other. Returns how high they are.
    pub(super) fn lines(
        &mut self,
        block: Block,
        row: u32,
        place: Rect,
        colour: Colour,
        align: Align,
    ) -> u32 {
        let mut y = place.y;
        for words in block.lines {
            let place = Rect {
                y,
                height: row,
                ..place
            };
            self.text(place, words, block.font, colour, align);
            y += row;
        }
        y - place.y
    }

    /// A line in as much of its place as it needs.
    fn text(&mut self, place: Rect, words: String, font: Font, colour: Colour, align: Align) {
        let width = (self.measure)(&words, font).min(place.width);
        let left = place.width - width;
        let x = match align {
            Align::Left => place.x,
            Align::Middle => place.x + left / 2,
            Align::Right => place.x + left,
        };
        self.shapes.push(Shape::Text {
            place: Rect { x, width, ..place },
            words,
            font,
            colour,
            align,
        });
    }
}

/// The height of a line: what Noto Sans has above and below, and a little air; what is large and
/// heavy needs less of it.
pub(super) fn line(font: Font) -> u32 {
    let (part, of) = if font.bold { (5, 4) } else { (7, 5) };
    (font.pixels * part).div_ceil(of)
}

pub(super) fn height(block: &Block) -> u32 {
    line(block.font) * u32::try_from(block.lines.len()).unwrap_or(0)
}

/// `123456` as `123 456`.
fn in_threes(pin: &str) -> String {
    let digits: Vec<char> = pin.chars().collect();
    let threes = digits.chunks(3).map(|three| three.iter().collect());
    threes.collect::<Vec<String>>().join(" ")
}

fn to_usize(figure: u32) -> usize {
    usize::try_from(figure).unwrap_or(usize::MAX)
}
