//! The files of a crate, and what each of them takes from another: read from its source, as far as paths say it.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, closing, tokens};

/// Of each file, the files it depends on, and the paths that say so.
pub type Dependencies = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The names of a path, or of a module from the root of its crate.
type Path = Vec<String>;

/// What one module says, be it a file or a part of one.
#[derive(Default)]
struct Module {
    file: String,
    imports: Vec<Import>,
    /// Paths in expressions and types.
    mentions: Vec<Path>,
}

/// One name that a `use` brings in; the path of a glob ends in `*`.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    path: Path,
    name: String,
}

/// What the files of a crate take from each other. `entry` is its `lib.rs` or `main.rs`; `read` gives the source of a file, by its path
/// from there. A module alone is no dependency, only what is used of it.
pub fn dependencies(entry: &str, read: &dyn Fn(&str) -> Option<String>) -> Dependencies {
    let mut source = Source { read, modules: BTreeMap::new() };
    source.take(entry, Vec::new());
    source.dependencies()
}

struct Source<'r> {
    read: &'r dyn Fn(&str) -> Option<String>,
    modules: BTreeMap<Path, Module>,
}

impl Source<'_> {
    /// Takes in a file, and those of the modules below it.
    fn take(&mut self, file: &str, module: Path) {
        let text = (self.read)(file).unwrap_or_else(|| panic!("{file} is not there"));
        let folder = match file.rsplit_once('/') {
            _ if ["lib.rs", "main.rs"].contains(&file) => String::new(),
            Some((folder, "mod.rs")) => format!("{folder}/"),
            _ => format!("{}/", file.trim_end_matches(".rs")),
        };
        self.take_module(&tokens(&text), file, &folder, module);
    }

    /// Takes in a module, of whose children the files are in `folder`.
    fn take_module(&mut self, tokens: &[Token<'_>], file: &str, folder: &str, path: Path) {
        use Token::{Mark, Separator, Word};
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut at = 0;
        while at < tokens.len() {
            let child = |name: &&str| [&path[..], &[(*name).to_owned()]].concat();
            at = match &tokens[at..] {
                [Word("mod"), Word(name), Mark(';'), ..] => {
                    let files = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
                    let found = files.iter().find(|file| (self.read)(file).is_some());
                    let found = found.unwrap_or_else(|| panic!("module {name} of {file} has no file"));
                    self.take(found, child(name));
                    at + 3
                }
                [Word("mod"), Word(name), Mark('{'), ..] => {
                    let end = closing(tokens, at + 2);
                    self.take_module(&tokens[at + 3..end], file, &format!("{folder}{name}/"), child(name));
                    end + 1
                }
                // who may see a thing does not make it used
                [Word("pub"), Mark('('), ..] => closing(tokens, at + 1) + 1,
                // `impl Trait + use<'a>` imports nothing
                [Word("use"), Mark('<'), ..] => at + 1,
                [Word("use"), ..] => {
                    let end =
                        tokens[at..].iter().position(|token| *token == Mark(';')).map_or(tokens.len(), |end| at + end);
                    module.imports.extend(imports(&tokens[at + 1..end]));
                    end
                }
                // a path from `::` is of another crate
                [Separator, Word(_), ..] => at + 1 + named(&tokens[at + 1..]).1,
                [Word(_), Separator, Word(_), ..] => {
                    let (mention, length) = named(&tokens[at..]);
                    module.mentions.push(mention);
                    at + length
                }
                _ => at + 1,
            };
        }
        self.modules.insert(path, module);
    }

    fn dependencies(&self) -> Dependencies {
        let mut all = Dependencies::new();
        for (path, module) in &self.modules {
            let own = all.entry(module.file.clone()).or_default();
            let names = self.names(path, module);
            let imports = module.imports.iter().map(|import| (&import.path, true));
            for (mention, is_import) in imports.chain(module.mentions.iter().map(|mention| (mention, false))) {
                let Some((to, left)) = self.resolve(path, &names, mention) else { continue };
                // by what name a module is known is nothing that is used of it
                let is_module = is_import && left == 0;
                let to = &self.modules[&to].file;
                if !is_module && *to != module.file {
                    own.entry(to.clone()).or_default().insert(mention.join("::"));
                }
            }
        }
        all
    }

    /// What a module's names are that stand for modules.
    fn names<'m>(&self, path: &Path, module: &'m Module) -> BTreeMap<&'m str, Path> {
        let mut names = BTreeMap::new();
        // one may be named by another that comes after it
        for _ in 0..2 {
            for Import { path: imported, name } in &module.imports {
                if let Some((to, 0)) = self.resolve(path, &names, imported) {
                    names.insert(name.as_str(), to);
                }
            }
        }
        names
    }

    /// The module a path leads to, and how many of its names are left there; `None` if it is of another crate.
    fn resolve(&self, module: &Path, names: &BTreeMap<&str, Path>, path: &Path) -> Option<(Path, usize)> {
        let (first, mut rest) = path.split_first()?;
        let mut to = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module.split_last()?.1.to_vec(),
            name => match names.get(name) {
                Some(known) => known.clone(),
                None => {
                    Some([&module[..], &[name.to_owned()]].concat()).filter(|child| self.modules.contains_key(child))?
                }
            },
        };
        while let Some((name, after)) = rest.split_first() {
            let next = match name.as_str() {
                "super" => to.split_last()?.1.to_vec(),
                name => [&to[..], &[name.to_owned()]].concat(),
            };
            if !self.modules.contains_key(&next) {
                break;
            }
            (to, rest) = (next, after);
        }
        Some((to, rest.len()))
    }
}

/// The path that tokens begin with, and how many of them it has.
fn named(tokens: &[Token<'_>]) -> (Path, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(Token::Word(name)) = tokens.get(at) {
        path.push((*name).to_owned());
        match tokens[at + 1..] {
            [Token::Separator, Token::Word(_), ..] => at += 2,
            _ => return (path, at + 1),
        }
    }
    (path, at)
}

/// What a `use` brings in, by the tokens between it and its `;`.
fn imports(tokens: &[Token<'_>]) -> Vec<Import> {
    let mut found = Vec::new();
    if tokens.first() != Some(&Token::Separator) {
        branch(tokens, &[], &mut found);
    }
    found
}

/// Takes the branches of a use tree, which begin with what is before them.
fn branch(tokens: &[Token<'_>], before: &[String], found: &mut Vec<Import>) {
    use Token::{Mark, Separator, Word};
    let mut path = before.to_vec();
    let mut at = 0;
    let mut name = None;
    while at < tokens.len() {
        match &tokens[at..] {
            [Mark('{'), ..] => {
                let end = closing(tokens, at);
                let mut rest = &tokens[at + 1..end];
                while !rest.is_empty() {
                    let length = leaf(rest);
                    branch(&rest[..length], &path, found);
                    rest = rest.get(length + 1..).unwrap_or_default();
                }
                return;
            }
            [Word("as"), Word(alias), ..] => {
                name = Some((*alias).to_owned());
                at += 1;
            }
            [Word("self"), ..] if !path.is_empty() => {}
            [Word(word), ..] => path.push((*word).to_owned()),
            [Mark('*'), ..] => path.push("*".to_owned()),
            [Separator, ..] | [_, ..] | [] => {}
        }
        at += 1;
    }
    let Some(last) = path.last() else { return };
    let name = name.unwrap_or_else(|| last.clone());
    found.push(Import { path, name });
}

/// Tokens up to the comma that ends a branch.
fn leaf(tokens: &[Token<'_>]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            Token::Mark(',') => return at,
            Token::Mark('{') => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}

#[test]
fn a_use_is_read_to_its_leaves() {
    let read = |text: &str| {
        let found = imports(&tokens(text)).into_iter();
        found.map(|Import { path, name }| format!("{} {name}", path.join("::"))).collect::<Vec<_>>()
    };
    assert_eq!(read("crate::a::B"), ["crate::a::B B"]);
    assert_eq!(read("super::a as b"), ["super::a b"]);
    assert_eq!(read("a::{self, b::{C, D as E}, f::*,}"), ["a a", "a::b::C C", "a::b::D E", "a::f::* *"]);
    assert_eq!(read("{crate::a, self::b::C as _}"), ["crate::a a", "self::b::C _"]);
    assert!(read("::std::fmt").is_empty());
}
