use std::fs;
use std::path::Path;

use super::Catalogue;
use crate::pipeline::{Codec, Kind};

fn write(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn screen(summary: &str) -> String {
    format!("summary = \"{summary}\"\nelements = [\"fakesink\"]\nlaunch = \"fakesink\"\n")
}

#[test]
fn a_later_folder_replaces_a_file_whole_even_a_broken_one() {
    let (shipped, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(shipped.path(), "screen/none.toml", "broken");
    write(shipped.path(), "screen/other.toml", &screen("shipped"));
    write(local.path(), "screen/none.toml", &screen("local"));
    write(local.path(), "screen/none.toml.dpkg-dist", "broken");
    let missing = local.path().join("missing");

    let catalogue = Catalogue::load(&[shipped.path(), local.path(), &missing]).unwrap();
    let none = catalogue.get(Kind::Screen, "none").unwrap();
    assert_eq!(none.summary, "local");
    assert_eq!(none.path, local.path().join("screen/none.toml"));
    assert_eq!(catalogue.of(Kind::Screen).count(), 2);
    assert_eq!(catalogue.nearest(Kind::Screen, "ohter"), Some("other"));
}

#[test]
fn every_problem_of_every_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "screens/none.toml", &screen("misplaced"));
    write(dir.path(), "screen/Not a name.toml", &screen("misnamed"));
    write(dir.path(), "screen/auto.toml", &screen("misnamed"));
    write(dir.path(), "speaker/a.toml", "summary = 3");
    write(dir.path(), "speaker/b.toml", &"#".repeat(70_000));
    fs::write(dir.path().join("speaker/c.toml"), [0xff, 0xfe]).unwrap();

    let problems = Catalogue::load(&[dir.path()]).unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|problem| {
            let path = problem.path.strip_prefix(dir.path()).unwrap();
            format!("{} {}", path.display(), problem.what)
        })
        .collect();
    assert_eq!(
        told,
        [
            "screen/Not a name.toml this is no name for a pipeline",
            "screen/auto.toml this is no name for a pipeline",
            "screens `screens` is no kind of pipeline",
            "speaker/a.toml invalid type: integer `3`, expected a string",
            "speaker/b.toml the file has 70000 bytes",
            "speaker/c.toml cannot be read: stream did not contain valid UTF-8",
        ]
    );
}

#[test]
fn encoders_come_in_order_of_preference() {
    let dir = tempfile::tempdir().unwrap();
    for (name, codec, preference) in [("a", "h264", 10), ("b", "h264", 90), ("c", "vp8", 99)] {
        let text = format!(
            "summary = \"it\"\nelements = [\"enc\"]\nlaunch = \"enc name=e\"\ncodec = \"{codec}\"\n\
             preference = {preference}\nkeyframe = {{ by = \"event\" }}\n\
             bitrate = {{ element = \"e\", property = \"bitrate\", unit = \"bit/s\", live = true }}\n"
        );
        write(dir.path(), &format!("encoder/{name}.toml"), &text);
    }
    let catalogue = Catalogue::load(&[dir.path()]).unwrap();
    let names: Vec<_> = catalogue
        .encoders(Codec::H264)
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
}
