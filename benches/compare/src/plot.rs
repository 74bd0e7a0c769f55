//! Plots as SVG, readable on light and on dark pages.

use std::fmt::Write as _;

/// One line of a plot.
pub struct Series {
    /// What it is.
    pub name: String,
    /// Which colour, of [`COLOURS`].
    pub colour: usize,
    /// Its points.
    pub points: Vec<Point>,
    /// How it is drawn.
    pub look: Look,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// With its points marked.
    Dots,
    /// In front of the others.
    Strong,
    /// Behind them.
    Thin,
    /// Something else than was measured.
    Dashed,
}

/// A point of a line.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up. Where it is no number, the line is broken.
    pub y: f64,
    /// The least and the greatest of what was measured.
    pub spread: Option<(f64, f64)>,
    /// Measured on a saturated machine.
    pub is_hollow: bool,
}

/// One pair of axes.
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// What is across.
    pub x: String,
    /// What is marked there; where it is empty, round numbers.
    pub ticks: Vec<(f64, String)>,
    /// Lines.
    pub series: Vec<Series>,
    /// A stretch that something is said of.
    pub stretch: Option<(f64, f64, String)>,
}

/// One bar of parts.
pub struct Bar {
    /// What it is.
    pub name: String,
    /// How long each part is, in the order of the legend.
    pub parts: Vec<f64>,
}

/// Distinguishable for all eyes (Okabe and Ito), on white and on black.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c8c8c", "#b8a000",
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 64.0;

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">\n<style>\n\
         text {{ font: 12px sans-serif; fill: #24292f }}\n\
         .title {{ font-weight: bold }}\n.grid {{ stroke: #8884; stroke-width: 1 }}\n\
         .axis {{ stroke: #888; stroke-width: 1 }}\n.stretch {{ fill: #8882 }}\n\
         .hollow {{ fill: #fff }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #d0d7de }} .hollow {{ fill: #0d1117 }} }}\n\
         </style>\n",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// Panels side by side down the page, all with the same legend.
#[must_use]
pub fn lines(title: &str, panels: &[Panel]) -> String {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !names.iter().any(|(name, _)| *name == series.name) {
            names.push((&series.name, series.colour));
        }
    }
    let (legend, top) = legend(&names);
    let height = top + panels.len() as f64 * (PANEL + GAP);
    let mut svg = begin(height, title) + &legend;
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, top + number as f64 * (PANEL + GAP) + 22.0);
    }
    svg + "</svg>\n"
}

fn legend(names: &[(&str, usize)]) -> (String, f64) {
    let mut svg = String::new();
    let (mut x, mut y) = (LEFT, 18.0);
    for (name, colour) in names {
        let wide = 34.0 + 6.3 * name.chars().count() as f64;
        if x + wide > WIDTH {
            (x, y) = (LEFT, y + 18.0);
        }
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
            y - 10.0,
            COLOURS[colour % COLOURS.len()],
            x + 17.0,
            escape(name)
        );
        x += wide;
    }
    (svg, y + 14.0)
}

/// Round numbers from zero to a little more than the greatest.
fn round_ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < most) {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let greatest = points()
        .map(|point| point.spread.map_or(point.y, |(_, most)| most.max(point.y)))
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let ups = round_ticks(greatest);
    let most = ups.last().copied().unwrap_or(1.0);
    let furthest = points().map(|point| point.x).fold(0.0, f64::max);
    let across = if panel.ticks.is_empty() {
        let ticks = round_ticks(furthest);
        ticks
            .into_iter()
            .filter(|tick| *tick <= furthest)
            .map(|tick| (tick, number(tick)))
            .collect()
    } else {
        panel.ticks.clone()
    };
    let (first, last) = (
        across.first().map_or(0.0, |(at, _)| at.min(0.0)),
        across
            .iter()
            .map(|(at, _)| *at)
            .fold(furthest, f64::max)
            .max(1e-9),
    );
    let wide = WIDTH - LEFT - 20.0;
    let x = |value: f64| LEFT + (value - first) / (last - first) * wide;
    let y = |value: f64| top + PANEL - value / most * PANEL;
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{LEFT}\" y=\"{:.0}\">{}</text>",
        top - 8.0,
        escape(&panel.title)
    );
    if let Some((from, to, words)) = &panel.stretch {
        let _ = writeln!(
            svg,
            "<rect class=\"stretch\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{PANEL}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x(*from),
            x(*to) - x(*from),
            x(*from) + 6.0,
            top + 14.0,
            escape(words)
        );
    }
    for tick in &ups {
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + wide,
            y(*tick),
            y(*tick),
            LEFT - 8.0,
            y(*tick) + 4.0,
            number(*tick)
        );
    }
    for (tick, words) in &across {
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/><text x=\"{0:.1}\" y=\"{3:.1}\" text-anchor=\"middle\">{4}</text>",
            x(*tick),
            top + PANEL,
            top + PANEL + 4.0,
            top + PANEL + 17.0,
            escape(words)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT + wide,
        top + PANEL + 32.0,
        escape(&panel.x)
    );
    for series in &panel.series {
        line(svg, series, &x, &y);
    }
}

fn line(svg: &mut String, series: &Series, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
    let colour = COLOURS[series.colour % COLOURS.len()];
    let seen: Vec<_> = series
        .points
        .iter()
        .filter(|point| point.y.is_finite())
        .collect();
    let stroke = match series.look {
        Look::Dots => "stroke-width=\"2\"",
        Look::Strong => "stroke-width=\"2.5\"",
        Look::Thin => "stroke-width=\"1.2\"",
        Look::Dashed => "stroke-width=\"1.5\" stroke-dasharray=\"3 3\"",
    };
    for piece in series.points.split(|point| !point.y.is_finite()) {
        let path: Vec<String> = piece
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.x), y(point.y)))
            .collect();
        if !path.is_empty() {
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" {stroke} points=\"{}\"/>",
                path.join(" ")
            );
        }
    }
    if series.look != Look::Dots {
        return;
    }
    for point in seen {
        let (px, py) = (x(point.x), y(point.y));
        if let Some((least, most)) = point.spread {
            let _ = writeln!(
                svg,
                "<line stroke=\"{colour}\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                y(least),
                y(most)
            );
        }
        let fill = if point.is_hollow {
            "class=\"hollow\"".to_owned()
        } else {
            format!("fill=\"{colour}\"")
        };
        let _ = writeln!(
            svg,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\" stroke=\"{colour}\" stroke-width=\"2\" {fill}/>"
        );
    }
}

/// Bars of parts, one below the other.
#[must_use]
pub fn bars(title: &str, parts: &[&str], all: &[Bar], unit: &str) -> String {
    const BAR: f64 = 22.0;
    const NAME: f64 = 300.0;
    let names: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(colour, name)| (*name, colour))
        .collect();
    let (legend, top) = legend(&names);
    let height = top + all.len() as f64 * (BAR + 8.0) + 40.0;
    let mut svg = begin(height, title) + &legend;
    let longest = all
        .iter()
        .map(|bar| bar.parts.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let ticks = round_ticks(longest);
    let most = ticks.last().copied().unwrap_or(1.0);
    let wide = WIDTH - NAME - 30.0;
    let bottom = top + all.len() as f64 * (BAR + 8.0) + 6.0;
    for tick in ticks {
        let x = NAME + tick / most * wide;
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} {unit}</text>",
            bottom + 16.0,
            number(tick)
        );
    }
    for (row, bar) in all.iter().enumerate() {
        let y = top + row as f64 * (BAR + 8.0) + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            NAME - 8.0,
            y + 15.0,
            escape(&bar.name)
        );
        let mut x = NAME;
        for (part, value) in bar.parts.iter().enumerate() {
            let long = value.max(0.0) / most * wide;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{long:.1}\" height=\"{BAR}\" fill=\"{}\"/>",
                COLOURS[part % COLOURS.len()]
            );
            x += long;
        }
    }
    svg + "</svg>\n"
}

fn number(value: f64) -> String {
    if (value - value.round()).abs() < 1e-6 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_greatest() {
        assert_eq!(round_ticks(97.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(round_ticks(3.0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(round_ticks(0.0).first(), Some(&0.0));
    }

    #[test]
    fn a_plot_says_what_it_shows() {
        let point = Point {
            x: 1.0,
            y: 2.0,
            spread: Some((1.0, 3.0)),
            is_hollow: true,
        };
        let series = Series {
            name: "a < b".to_owned(),
            colour: 0,
            points: vec![point],
            look: Look::Dots,
        };
        let panel = Panel {
            title: "Panel".to_owned(),
            x: "peers".to_owned(),
            ticks: Vec::new(),
            series: vec![series],
            stretch: None,
        };
        let svg = lines("Plot", &[panel]);
        assert!(svg.contains("a &lt; b") && svg.contains("hollow") && svg.ends_with("</svg>\n"));
    }
}
