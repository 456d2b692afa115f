//! As much of Markdown as the documents use.

use std::path::Path;

pub struct Page {
    pub name: String,
    pub text: String,
}

/// A fenced block, and the comments directly above it.
#[derive(Debug)]
pub struct Block {
    /// Of its fence, from 1.
    pub line: usize,
    pub language: String,
    /// What stands in `<!-- … -->`, in order.
    pub notes: Vec<String>,
    pub text: String,
}

impl Page {
    pub fn read(path: &Path) -> Page {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page { name: path.display().to_string(), text }
    }

    /// Blocks in the order of the page; a comment with none below it is a block without text.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut notes: Vec<String> = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(note) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
                notes.push(note.to_owned());
            } else if let Some(language) = line.strip_prefix("```") {
                let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
                let text = inside.map(|line| format!("{line}\n")).collect();
                let notes = std::mem::take(&mut notes);
                blocks.push(Block { line: number + 1, language: language.to_owned(), notes, text });
            } else if !line.is_empty() && !notes.is_empty() {
                let notes = std::mem::take(&mut notes);
                blocks.push(Block { line: number, language: String::new(), notes, text: String::new() });
            }
        }
        blocks
    }

    /// The lines outside of blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut is_inside = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.starts_with("```");
            is_inside ^= is_fence;
            !is_inside && !is_fence
        })
    }

    /// Targets of links and pictures.
    pub fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for line in self.prose() {
            // what stands in backticks is no link
            let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            for rest in text.split("](").skip(1) {
                links.extend(rest.split_once(')').map(|(link, _)| link.to_owned()));
            }
        }
        links
    }

    /// What stands in backticks within the text.
    pub fn code(&self) -> Vec<String> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}

#[test]
fn a_page_is_read() {
    let text = "# A `b`, c\n[x](y.md#z) `[n](o)`\n<!-- file: f -->\n```toml\na = 1\n```\n<!-- before: b -->\n\ntext\n";
    let page = Page { name: "p".to_owned(), text: text.to_owned() };
    assert_eq!((page.anchors(), page.links()), (vec!["a-b-c".to_owned()], vec!["y.md#z".to_owned()]));
    assert_eq!(page.code(), ["b", "[n](o)"]);
    let blocks = page.blocks();
    assert_eq!((blocks[0].line, blocks[0].notes[0].as_str(), blocks[0].text.as_str()), (4, "file: f", "a = 1\n"));
    assert_eq!((blocks[1].notes[0].as_str(), blocks[1].text.as_str()), ("before: b", ""));
}
