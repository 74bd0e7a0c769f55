//! The tiers of the picture: their order, and whether the camera has so much.

use super::Judge;
use crate::{
    config::{
        Kbps, Problem, file,
        table::{At, list},
        tiers::{self, Size, written},
    },
    ladder::Tier,
};

/// The sizes where the file names none and the camera has as much.
const USUAL: [Size; 3] = [(720, 30), (360, 30), (180, 15)];

/// More would be more encoders than any machine has use for.
const MOST: usize = 4;

/// The picture that is taken of the camera.
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) framerate: u32,
}

impl Judge<'_> {
    /// From large to small, with no more than `cap` for each. At least one, unless a problem has
    /// been found.
    pub(super) fn tiers(
        &mut self,
        video: &file::Video,
        picture: &Picture,
        cap: Option<Kbps>,
    ) -> Vec<Tier> {
        let tiers = match video.tiers.right() {
            Some(at) => {
                self.note("video.tiers", at);
                self.several(&at.value);
                self.order(&at.value);
                for tier in &at.value {
                    self.fits(tier, video, picture);
                }
                at.value.iter().map(|tier| tier_of(&tier.value)).collect()
            }
            None => usual(picture),
        };
        let capped = tiers.into_iter().map(|tier| match cap {
            Some(Kbps(cap)) => tier.at_most(cap),
            None => tier,
        });
        capped.collect()
    }

    fn several(&mut self, tiers: &[At<tiers::Tier>]) {
        if let Some(beyond) = tiers.get(MOST) {
            let what = format!("`video.tiers` has {} tiers", tiers.len());
            let remedy = format!("each takes encoders of its own; leave at most {MOST}");
            self.error(&beyond.span, what, "the fifth", remedy);
        }
    }

    /// Reports each tier that occurs twice, and the first that is not where it belongs.
    fn order(&mut self, tiers: &[At<tiers::Tier>]) {
        let mut in_order = true;
        let mut last: Option<&At<tiers::Tier>> = None;
        for (index, tier) in tiers.iter().enumerate() {
            let size = tier.value.size;
            let mut before = tiers.iter().take(index);
            if let Some(same) = before.find(|other| other.value.size == size) {
                let what = format!("`video.tiers` has {} twice", written(size));
                let problem = Problem::error(what, "leave the second one out")
                    .at(&self.findings.text, tier.span.clone(), "the second time")
                    .beside(same.span.clone(), "the first time");
                self.findings.push(problem);
                continue;
            }
            if let Some(before) = last.filter(|last| in_order && last.value.size < size) {
                in_order = false;
                let mut sizes: Vec<Size> = tiers.iter().map(|tier| tier.value.size).collect();
                sizes.sort_unstable_by(|one, other| other.cmp(one));
                sizes.dedup();
                let sizes: Vec<String> = sizes.into_iter().map(written).collect();
                let what = "`video.tiers` do not go from large to small";
                let remedy = format!("write them in this order: {}", list(&sizes));
                let problem = Problem::error(what, remedy)
                    .at(
                        &self.findings.text,
                        tier.span.clone(),
                        "larger than the one before",
                    )
                    .beside(before.span.clone(), "the one before");
                self.findings.push(problem);
            }
            last = Some(tier);
        }
    }

    /// The range of what a tier may be, and the picture of the camera.
    fn fits(&mut self, tier: &At<tiers::Tier>, video: &file::Video, picture: &Picture) {
        let (height, framerate) = tier.value.size;
        // A camera that gives less than any tier may still have it sent as it is.
        let heights = picture.height.min(90)..=2160;
        let rates = picture.framerate.min(5)..=60;
        let what = "a tier of `video.tiers` is out of range";
        let mut in_range = true;
        if !heights.contains(&height) {
            in_range = false;
            let (least, most) = heights.into_inner();
            let remedy = format!("write a height from {least} to {most}");
            self.error(&tier.span, what, format!("{height} pixels high"), remedy);
        }
        if !rates.contains(&framerate) {
            in_range = false;
            let (least, most) = rates.into_inner();
            let label = format!("{framerate} frames per second");
            let remedy = format!("write a rate from {least} to {most}");
            self.error(&tier.span, what, label, remedy);
        }
        // What is there but broken has been reported; nothing follows from it.
        let is_known =
            !(video.width.is_broken() || video.height.is_broken() || video.framerate.is_broken());
        let (too_high, too_fast) = (height > picture.height, framerate > picture.framerate);
        if !in_range || !is_known || !(too_high || too_fast) {
            return;
        }
        let fitting = written((height.min(picture.height), framerate.min(picture.framerate)));
        let mut more = Vec::new();
        if too_high {
            let width = height * 16 / 9 / 2 * 2;
            more.extend((width > picture.width).then(|| format!("width = {width}")));
            more.push(format!("height = {height}"));
        }
        if too_fast {
            more.push(format!("framerate = {framerate}"));
        }
        let camera = written((picture.height, picture.framerate));
        let remedy = format!(
            "write \"{fitting}\", or leave it out; or, where the camera has more, say so: {}",
            list(&more)
        );
        let mut problem = Problem::error(
            "a tier of `video.tiers` is larger than the picture of the camera",
            remedy,
        )
        .at(
            &self.findings.text,
            tier.span.clone(),
            format!("more than {camera}"),
        );
        if let Some(at) = video.height.right().filter(|_| too_high) {
            problem = problem.beside(at.span.clone(), "the height of the picture");
        }
        if let Some(at) = video.framerate.right().filter(|_| too_fast) {
            problem = problem.beside(at.span.clone(), "the rate of the picture");
        }
        self.findings.push(problem);
    }
}

/// The usual tiers as far as the camera has so much. The first is the whole picture if this is
/// less, and none has more pictures a second than there are.
fn usual(picture: &Picture) -> Vec<Tier> {
    let mut sizes: Vec<Size> = Vec::new();
    for (height, framerate) in USUAL {
        let framerate = framerate.min(picture.framerate);
        let size = match sizes.last() {
            None => (height.min(picture.height), framerate),
            Some(before) if (height, framerate) < *before => (height, framerate),
            Some(_) => continue,
        };
        sizes.push(size);
    }
    sizes
        .into_iter()
        .map(|(height, framerate)| Tier::new(height, framerate))
        .collect()
}

fn tier_of(tier: &tiers::Tier) -> Tier {
    let (height, framerate) = tier.size;
    let of_its_size = Tier::new(height, framerate);
    match tier.kbps {
        Some((least_kbps, most_kbps)) => Tier {
            least_kbps,
            most_kbps,
            ..of_its_size
        },
        None => of_its_size,
    }
}
