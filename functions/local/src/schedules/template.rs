//! Renders the file from the pipelines alone: the same pipelines give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_flow::{DefinitionErrors, Error, ErrorKind};
use tidemark_lake::Key;
use tidemark_pipeline::{DatasetName, Diagnostic, Expression, Graph, ModelKind, Pipeline, SecretName, StepId, graph};

use super::names::{mail_id, schedule_id, table_id, table_name};
use super::text::{description, line, quoted};

/// Maximum characters of the name of an EventBridge rule or schedule.
const LONGEST_NAME: usize = 64;
/// Maximum characters of the parameter `Name`, which is followed by a dash.
const LONGEST_PREFIX: usize = 24;
/// Maximum number of resources in one CloudFormation stack.
const MOST_RESOURCES: usize = 500;

const HEAD: &str = "\
# Made by `tidemark schedules` from the pipeline files, and not to be edited: change those, and run it again.
# Everything that depends on the pipelines: their schedules, the secrets they name, a table for each of their datasets, and the recipients
# of their mail. A nested stack of template.yaml.
AWSTemplateFormatVersion: '2010-09-09'
Description: 'Tidemark: schedules, secrets, tables and mail of the pipelines'
Metadata:
  cfn-lint:
    config:
      ignore_checks:
        # which parameters and conditions are used depends on the pipelines
        - W2001
        - W8001
        # `${…}` in a description is text
        - E1029
Parameters:
  Name:
    Type: String
    Description: What the names of rules and schedules begin with, as tidemark-dev
    MaxLength: 24
    AllowedPattern: '[0-9A-Za-z_.-]+'
  Ingest:
    Type: String
    Description: The ARN of function ingest
  DeadLetters:
    Type: String
    Description: The ARN of the queue for what could not be delivered
  SchedulerRole:
    Type: String
    Description: The ARN of the role by which EventBridge Scheduler invokes ingest and sends to the queue
  State:
    Type: String
    Description: Whether schedules start anything
    Default: ENABLED
    AllowedValues:
      - ENABLED
      - DISABLED
  Lake:
    Type: String
    Description: Where the lake is, as s3://bucket/prefix
    AllowedPattern: 's3://.*[^/]'
  Database:
    Type: String
    Description: The database of Glue that has the tables
  IngestRole:
    Type: String
    Description: The name of the role of function ingest
  LoadRole:
    Type: String
    Description: The name of the role of function load
  WatchRole:
    Type: String
    Description: The name of the role of function watch
  Alerts:
    Type: String
    Description: The ARN of the topic by which mail is sent; nothing if it goes another way
Conditions:
  MailsByTopic: !Not [!Equals [!Ref Alerts, '']]
Resources:
";

/// # Errors
/// Kind `definition`: pipelines that are valid, but cannot be deployed to AWS as they are.
pub(super) fn template(graph: &Graph) -> Result<String, Error> {
    let written = graph.files();
    let mut mistakes: Vec<Diagnostic> = written.flat_map(|(pipeline, file, _)| undeployable(pipeline, file)).collect();
    let datasets = datasets(graph);
    mistakes.extend(same_tables(graph, datasets.keys()));
    if !mistakes.is_empty() {
        mistakes.sort();
        return Err(DefinitionErrors(mistakes).into());
    }
    let mut resources: Vec<String> = graph.pipelines().iter().filter_map(schedule).collect();
    resources.extend(secrets(graph));
    resources.extend(datasets.iter().map(|(dataset, summary)| table(dataset, summary)));
    resources.extend(addresses(graph).into_iter().map(subscription));
    if resources.len() > MOST_RESOURCES {
        let message = format!(
            "{} schedules, policies, tables and addresses; CloudFormation takes {MOST_RESOURCES}",
            resources.len()
        );
        return Err(Error::new(ErrorKind::Definition, message)
            .hint("put some of the pipelines into a folder and a stack of their own"));
    }
    Ok(format!("{HEAD}{}", resources.concat()))
}

/// The reasons why a pipeline cannot be deployed.
fn undeployable(pipeline: &Pipeline, file: &str) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut report = |found: String, expected: String, hint: &str| {
        let hint = Some(hint.to_owned());
        mistakes.push(Diagnostic { file: file.to_owned(), line: 1, column: 1, found, expected, hint });
    };
    let (name, most) = (pipeline.name.as_str(), LONGEST_NAME - LONGEST_PREFIX - 1);
    if pipeline.schedule.is_some() && name.len() > most {
        report(
            format!("pipeline `{name}` with a schedule and a name of {} characters", name.len()),
            format!("at most {most} where there is a schedule"),
            "EventBridge takes 64, with the stack's name in front; rename the file",
        );
    }
    // it cannot be escaped, and CloudFormation would replace it by the value of a parameter or secret
    if pipeline.description.as_ref().is_some_and(|text| text.contains("{{resolve:")) {
        report(
            format!("`{{{{resolve:` in the description of pipeline `{name}`"),
            "a text that CloudFormation leaves as it is".to_owned(),
            "write it without one of the braces",
        );
    }
    mistakes
}

/// Datasets whose tables would have the same name.
fn same_tables<'d>(graph: &Graph, datasets: impl Iterator<Item = &'d DatasetName>) -> Vec<Diagnostic> {
    let mut taken: BTreeMap<String, &DatasetName> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for dataset in datasets {
        let name = table_name(dataset);
        let Some(other) = taken.insert(name.clone(), dataset) else { continue };
        // the dataset with this literal name is the one that can be renamed
        let (given, of) = if dataset.as_str() == name { (dataset, other) } else { (other, dataset) };
        let Some(place) = graph.place_of(given) else { continue };
        let at = graph.place_of(of).map(|place| format!(", of {place}")).unwrap_or_default();
        mistakes.push(place.diagnostic(
            format!("dataset `{given}`, whose table in Glue is called `{name}`"),
            "a name of its own".to_owned(),
            Some(format!("so is the table of `{of}`{at}")),
        ));
    }
    mistakes
}

/// Every dataset of the pipelines, with a description.
fn datasets(graph: &Graph) -> BTreeMap<DatasetName, String> {
    let made = graph.steps().flat_map(|(pipeline, step)| {
        let outputs = graph::outputs(pipeline, step).into_iter();
        outputs.map(move |dataset| (step_description(pipeline, step, &dataset), dataset))
    });
    made.map(|(summary, dataset)| (dataset, summary)).collect()
}

fn step_description(pipeline: &Pipeline, step: &StepId, dataset: &DatasetName) -> String {
    let name = &pipeline.name;
    let made = match step {
        StepId::Model(of) => pipeline.models.iter().find(|model| model.name == *of).map(|model| &model.kind),
        _ => None,
    };
    match made {
        Some(ModelKind::Explode(children)) => format!("Elements of column {} of pipeline {name}", children.column),
        Some(ModelKind::Sql(_)) => format!("A model of pipeline {name}"),
        None if dataset.is_raw() => format!("What the source of pipeline {name} said, as it said it"),
        None if dataset.is_quarantine() => format!("What broke the contract of pipeline {name}"),
        None => {
            let more = pipeline.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("Clean rows of pipeline {name}{more}")
        }
    }
}

/// An EventBridge rule, which is free; with a time zone, a schedule of EventBridge Scheduler.
fn schedule(pipeline: &Pipeline) -> Option<String> {
    let Expression { text, timezone, is_adrift } = pipeline.schedule.as_ref()?.expression();
    let (id, name) = (schedule_id(&pipeline.name), &pipeline.name);
    let kind = if timezone.is_some() { "AWS::Scheduler::Schedule" } else { "AWS::Events::Rule" };
    let summary = pipeline.description.as_deref().and_then(description);
    let summary = summary.map(|text| format!("      Description: {}\n", quoted(&text))).unwrap_or_default();
    let adrift = "      # no cron says its multiples since 1970: it counts from its deployment\n";
    let adrift = if is_adrift { adrift } else { "" };
    let head = format!(
        "  {id}:
    Type: {kind}
    Properties:
      Name: !Sub '${{Name}}-{name}'
{summary}      State: !Ref State
{adrift}      ScheduleExpression: '{text}'
"
    );
    let Some(timezone) = timezone else {
        return Some(format!(
            "{head}      Targets:
        - Id: ingest
          Arn: !Ref Ingest
          InputTransformer:
            InputPathsMap:
              time: $.time
            # EventBridge puts the quotes around the time
            InputTemplate: '{{\"pipeline\": \"{name}\", \"scheduled_time\": <time>}}'
{}",
            retry_policy("          ")
        ));
    };
    Some(format!(
        "{head}      ScheduleExpressionTimezone: '{timezone}'
      FlexibleTimeWindow:
        Mode: 'OFF'
      Target:
        Arn: !Ref Ingest
        RoleArn: !Ref SchedulerRole
        Input: '{{\"pipeline\": \"{name}\", \"scheduled_time\": \"<aws.scheduler.scheduled-time>\"}}'
{}",
        retry_policy("        ")
    ))
}

/// Retry policy and dead-letter queue of a target.
fn retry_policy(indent: &str) -> String {
    let lines = [
        "RetryPolicy:",
        "  MaximumEventAgeInSeconds: 3600",
        "  MaximumRetryAttempts: 24",
        "DeadLetterConfig:",
        "  Arn: !Ref DeadLetters",
    ];
    lines.map(|line| format!("{indent}{line}\n")).concat()
}

/// One policy for each function that needs a secret.
fn secrets(graph: &Graph) -> Vec<String> {
    let (mut source, mut targets, mut alerts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, _, secrets) in graph.files() {
        source.extend(&secrets.source);
        targets.extend(&secrets.targets);
        alerts.extend(&secrets.alerts);
    }
    [("Ingest", "ingest", source), ("Load", "load", targets), ("Watch", "watch", alerts)]
        .into_iter()
        .filter(|(_, _, secrets)| !secrets.is_empty())
        .map(|(function, name, secrets)| policy(function, name, &secrets))
        .collect()
}

fn policy(function: &str, name: &str, secrets: &BTreeSet<&SecretName>) -> String {
    let arn = |secret: &&SecretName| {
        format!(
            "              - !Sub 'arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}:secret:tidemark/{secret}-??????'\n"
        )
    };
    let arns: String = secrets.iter().map(arn).collect();
    format!(
        "  {function}Secrets:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: !Sub '${{Name}}-{name}-secrets'
      Roles:
        - !Ref {function}Role
      PolicyDocument:
        Version: '2012-10-17'
        Statement:
          - Effect: Allow
            Action: secretsmanager:GetSecretValue
            Resource:
              # Secrets Manager adds a dash and six characters to a secret's name
{arns}"
    )
}

/// All mail addresses in the pipelines.
fn addresses(graph: &Graph) -> BTreeSet<&str> {
    let alerts = graph.pipelines().iter().flat_map(|pipeline| &pipeline.alerts.email);
    alerts.map(|email| email.to.as_str()).collect()
}

/// A subscription with a filter, so that an address gets only its own mail, once it has confirmed the subscription.
fn subscription(address: &str) -> String {
    format!(
        "  {}:
    Type: AWS::SNS::Subscription
    Condition: MailsByTopic
    Properties:
      TopicArn: !Ref Alerts
      Protocol: email
      Endpoint: {address}
      FilterPolicy:
        to:
          - {address}
",
        mail_id(address),
        address = quoted(address),
    )
}

/// A Delta table. Its columns are read from the Delta log; those listed here are ignored. Source:
/// <https://docs.aws.amazon.com/athena/latest/ug/delta-lake-tables-syncing-metadata.html>
fn table(dataset: &DatasetName, summary: &str) -> String {
    let (id, name, folder) = (table_id(dataset), table_name(dataset), Key::Table(dataset).path());
    let summary = line(summary).map(|text| format!("        Description: {}\n", quoted(&text))).unwrap_or_default();
    format!(
        "  {id}:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref Database
      TableInput:
        Name: {name}
{summary}        TableType: EXTERNAL_TABLE
        Parameters:
          EXTERNAL: 'TRUE'
          spark.sql.sources.provider: delta
        PartitionKeys: []
        StorageDescriptor:
          # the columns are those of the table's log
          Columns:
            - Name: col
              Type: array<string>
          Location: !Sub '${{Lake}}/{folder}/'
          SerdeInfo:
            Parameters:
              path: !Sub '${{Lake}}/{folder}/'
              serialization.format: '1'
"
    )
}

#[cfg(test)]
mod tests;
