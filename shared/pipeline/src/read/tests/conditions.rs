use super::*;

/// Reads a file with values for some parameters; returns the names of the enabled targets, or the errors.
fn targets(text: &str, values: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
    with(text, &|name| values.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()))
}

fn with(text: &str, parameter: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Vec<String>> {
    let text = format!("{TOP}{text}");
    let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
    let read = read(&file, parameter, &|_| Err("no such file".to_owned()));
    let names = |definition: Definition| definition.pipeline.targets.iter().map(|one| one.name().to_owned()).collect();
    read.map(names).map_err(|all| all.iter().map(|one| one.to_string().replacen("p/x.toml:", "", 1)).collect())
}

/// A target's first line is line 9.
const TOP: &str = "[parameters]\nW = { default = '' }\nV = { about = 'no default' }\nF = { default = 'out' }\n[[model]]\n\
                   name = 'y'\nsql = 'SELECT 1 AS one'\n\n";
const POSTGRES: &str = "[[target]]\nkind = 'postgres'\ndataset = 'y'\ntable = 't'\nmode = 'swap'\nname = 'one'\nurl = '${W}'\nonly_with = 'W'\n";
const SQLITE: &str = "[[target]]\nkind = 'sqlite'\ndataset = 'y'\ntable = 't'\nmode = 'swap'\nname = 'two'\npath = 'x.db'\nonly_without = 'W'\n";
const URL: &str = "postgres://u@h/d";

fn names(names: &[&str]) -> Result<Vec<String>, Vec<String>> {
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_target_is_there_with_or_without_a_value() {
    let both = format!("{POSTGRES}{SQLITE}");
    assert_eq!(targets(&both, &[("W", URL)]), names(&["one"]));
    for none in [&[][..], &[("W", "")], &[("W", " ")]] {
        assert_eq!(targets(&both, none), names(&["two"]));
    }
    // a non-empty default is a value; an empty value given in its place is none
    let both = both.replace("'W'", "'F'");
    assert_eq!(targets(&both, &[("W", URL)]), names(&["one"]));
    assert_eq!(targets(&both, &[("W", URL), ("F", "")]), names(&["two"]));
    // no default is no value
    let both = both.replace("'F'", "'V'").replace("${W}", "${V}");
    assert_eq!(targets(&both, &[]), names(&["two"]));
    assert_eq!(targets(&both, &[("V", URL)]), names(&["one"]));
}

#[test]
fn a_report_depends_on_a_parameter_too() {
    let report = "[[target]]\nkind = 'report'\nfolder = '${V}'\ntitle = 'T'\nonly_with = 'V'\n[[target.sheet]]\ntitle = 'S'\n\
                  sql = 'SELECT * FROM y'\n";
    assert_eq!(targets(report, &[]), names(&[]));
    assert_eq!(targets(report, &[("V", "out")]), names(&["report"]));
}

#[test]
fn a_parameter_that_stands_for_itself_is_no_value() {
    // as in a check without values for parameters
    let itself = |name: &str| Some(format!("${{{name}}}"));
    assert_eq!(with(&format!("{POSTGRES}{SQLITE}"), &itself), names(&["two"]));
    assert_eq!(with(&format!("{POSTGRES}{SQLITE}").replace("'W'", "'F'"), &itself), names(&["one"]));
}

#[test]
fn a_target_that_is_not_there_is_checked_all_the_same() {
    let wrong = |target: &str| format!("{target}foo = 1\n").replace("'y'", "'Y'").replace("'swap'", "'swop'");
    let unknown = |line: usize, fields: &str| format!("{line}:1: unknown field `foo` in [[target]]; expected {fields}");
    let found = targets(&wrong(POSTGRES), &[]).unwrap_err();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(
        found[2],
        unknown(
            17,
            "one of `kind`, `name`, `dataset`, `url`, `password`, `schema`, `table`, `mode`, `key`, `types`, `max_refused`, \
             `connections`, `timeout`, `only_with`, `only_without`"
        )
    );
    assert_eq!(targets(&wrong(SQLITE), &[("W", URL)]).unwrap_err().len(), 3);
    // errors that do not depend on the value are reported
    assert_eq!(targets(&POSTGRES.replace("${W}", "postgres://h"), &[]).unwrap_err().len(), 1);
    assert_eq!(targets(&POSTGRES.replace("${W}", "${U}"), &[]).unwrap_err().len(), 1);
    assert_eq!(targets(&SQLITE.replace("x.db", "${V}"), &[("W", URL)]).unwrap_err().len(), 1);
    // with a value, all errors are reported
    assert_eq!(targets(POSTGRES, &[("W", "postgres://h")]).unwrap_err().len(), 1);
}

#[test]
fn what_comes_of_an_empty_value_is_forgiven() {
    for (field, value) in [("table = 't'", "table = '${W}'"), ("dataset = 'y'", "dataset = '${W}'")] {
        assert_eq!(
            targets(&SQLITE.replace(field, value).replace("only_without", "only_with"), &[]),
            names(&[]),
            "{value}"
        );
    }
    let upsert = SQLITE.replace("only_without", "only_with").replace("'swap'", "'upsert'").replace("'y'", "'${W}'");
    assert_eq!(targets(&upsert, &[]), names(&[]));
    let schema = format!("{POSTGRES}schema = '${{W}}'\npassword = {{ secret = '${{W}}' }}\n");
    assert_eq!(targets(&schema, &[]), names(&[]));
}

#[test]
fn two_targets_of_one_name_that_are_never_there_together() {
    let sqlite = SQLITE.replace("'two'", "'one'");
    assert_eq!(targets(&format!("{POSTGRES}{sqlite}"), &[("W", URL)]), names(&["one"]));
    assert_eq!(targets(&format!("{sqlite}{POSTGRES}"), &[]), names(&["one"]));
    let second = "22:8: a second target `one`; expected a unique name".to_owned();
    for other in [
        sqlite.replace("'W'", "'F'"),
        sqlite.replace("only_without", "only_with"),
        sqlite.replace("only_without = 'W'\n", ""),
    ] {
        assert_eq!(targets(&format!("{POSTGRES}{other}"), &[("W", URL)]), Err(vec![second.clone()]), "{other}");
    }
    // a third target of the same name is an error, whichever is enabled
    let third = format!("{POSTGRES}{sqlite}{sqlite}");
    assert_eq!(targets(&third, &[("W", URL)]).unwrap_err().len(), 1);
}

#[test]
fn what_a_condition_may_say() {
    let wrong = |line: &str| targets(&SQLITE.replace("only_without = 'W'", line), &[]).unwrap_err();
    assert_eq!(
        wrong("only_with = 'w'"),
        [
            "16:13: unknown parameter `w` for `only_with` in [[target]]; expected one of `W`, `V`, `F`; did you mean `W`?"
        ]
    );
    assert_eq!(
        wrong("only_without = '${W}'"),
        ["16:16: unknown parameter `${W}` for `only_without` in [[target]]; expected one of `W`, `V`, `F`"]
    );
    assert_eq!(
        wrong("only_with = 'W'\nonly_without = 'V'"),
        ["17:16: `only_without` in [[target]]; expected only one of `only_with` and `only_without`"]
    );
    assert_eq!(wrong("only_with = true"), ["16:13: `true` for `only_with` in [[target]]; expected a string"]);
    assert_eq!(
        target_errors(
            "[[target]]\nkind = 'sqlite'\ndataset = 'y'\npath = 'x'\ntable = 't'\nmode = 'swap'\nonly_with = 'W'"
        ),
        [
            "10:13: unknown parameter `W` for `only_with` in [[target]]; expected a parameter that is declared in [parameters]"
        ]
    );
}

#[test]
fn a_parameter_that_only_says_what_is_there_is_not_needed() {
    let needed = |text: &str| {
        let text = format!("{TOP}{text}");
        let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
        let all = parameters(&file).unwrap();
        all.into_iter().filter(|one| one.needed).map(|one| one.name).collect::<Vec<_>>()
    };
    let both = format!("{POSTGRES}{SQLITE}");
    assert_eq!(needed(&both), ["F", "V"]);
    assert_eq!(needed(&both.replace("x.db", "${W}")), ["F", "V", "W"]);
    assert_eq!(needed(&both.replace("only_with = 'W'", "only_with = 'V'")), ["F", "W"]);
}
