mod alerts;
mod conditions;
mod contract;
mod explode;
mod file;
mod http;
mod postgres;
mod schedule;
mod targets;

use super::*;

/// Reads a file as `p/x.toml`, with parameter `IN` and one SQL file.
fn read_text(text: &str) -> Result<Pipeline, Vec<Diagnostic>> {
    let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
    let parameter = |name: &str| (name == "IN").then(|| "in/${OUT}".to_owned());
    let sql_file = |path: &str| match path {
        "x/good.sql" => Ok("-- all\nSELECT *\nFROM y".to_owned()),
        "x/bad.sql" => Ok("SELECT *\nFROM y WHERE )".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    read(&file, &parameter, &sql_file).map(|definition| definition.pipeline)
}

/// The errors, without the file name.
fn errors(text: &str) -> Vec<String> {
    let all = read_text(text).err().unwrap_or_default();
    all.iter().map(|one| one.to_string().replacen("p/x.toml:", "", 1)).collect()
}

/// The errors of a contract; its first line is line 5.
fn contract_errors(contract: &str) -> Vec<String> {
    errors(&format!("[source]\nkind = 'files'\npath = 'in'\n[contract]\n{contract}"))
}

/// The errors of a file with a model and a target; the target's first line is line 4.
fn target_errors(target: &str) -> Vec<String> {
    errors(&format!("[[model]]\nname = 'y'\nsql = 'SELECT 1 AS one'\n{target}"))
}
