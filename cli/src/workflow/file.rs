//! Workflow files: read them, change their input, and say where in them the engine found something wrong.

use std::fs;
use std::io::Read;

use serde_json::{Map, Value};
use switchboard_client::Error as CallError;
use switchboard_proto::goclaw::v1::submit_workflow_request::Payload;
use switchboard_proto::goclaw::v1::{CreateScheduleRequest, SubmitWorkflowRequest};
use workflow_file::Workflow;

use super::Error;
use crate::args::File;
use crate::failure::Failure;

/// A workflow with the name of its file.
pub(super) struct FromFile {
    file: String,
    workflow: Workflow,
}

/// Reads the one workflow of a file, with what the command line changes of it.
pub(super) fn one(args: &File) -> Result<(FromFile, SubmitWorkflowRequest), Failure> {
    let (read, mut request) = with_input(&args.path, args.input.as_deref(), &args.params)?;
    if let Some(schedule) = &read.workflow.schedule {
        tracing::warn!(
            schedule = %schedule.schedule_id,
            "the workflow is submitted once; `workflow schedule create` makes the file's schedule"
        );
    }
    if let Some(id) = &args.id {
        request.workflow_id.clone_from(id);
    }
    Ok((read, request))
}

/// Reads the one workflow of a file, with this input instead of its own, if any, and these members set in it.
pub(super) fn with_input(
    path: &str,
    input: Option<&str>,
    members: &[(String, String)],
) -> Result<(FromFile, SubmitWorkflowRequest), Failure> {
    let (file, text) = text(path)?;
    let workflow = workflow_file::workflow(&file, &text).map_err(|error| Error::File(error.to_string()))?;
    let mut request = workflow.request.clone();
    if let Some(input) = input {
        request.payload = Some(Payload::InputJson(json_argument("--input", input)?));
    }
    if !members.is_empty() {
        request.payload = Some(Payload::InputJson(with_members(request.payload.take(), members)?));
    }
    Ok((FromFile { file, workflow }, request))
}

/// Reads all workflows of files.
pub(super) fn all(files: &[String]) -> Result<Vec<FromFile>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let (name, text) = text(file)?;
        let read = workflow_file::workflows(&name, &text).map_err(|error| Error::File(error.to_string()))?;
        all.extend(read.into_iter().map(|workflow| FromFile { file: name.clone(), workflow }));
    }
    Ok(all)
}

impl FromFile {
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn request(&self) -> &SubmitWorkflowRequest {
        &self.workflow.request
    }

    /// When the file has its workflow submitted.
    pub(super) fn schedule(&self) -> Option<&CreateScheduleRequest> {
        self.workflow.schedule.as_ref()
    }

    /// `tasks[0].target: is unknown (trip.yaml:4:13)`.
    pub(super) fn wrong(&self, field: &str, reason: &str) -> String {
        format!("{field}: {reason} ({})", self.place(field))
    }

    /// Where a field stands: `trip.yaml:4:13`.
    pub(super) fn place(&self, field: &str) -> String {
        let place = self.workflow.place(field);
        let place = place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
        format!("{}{place}", self.file)
    }
}

/// The engine's refusal in the words of the files, if it names fields of them. A batch's fields begin with
/// `workflows[2].`.
pub(super) fn refused(error: CallError, files: &[FromFile]) -> Failure {
    if error.violations().is_empty() {
        return error.into();
    }
    let line = |violation: &switchboard_proto::rpc::FieldViolation| {
        let (file, field) = match member(&violation.field) {
            Some((index, field)) => (files.get(index), field),
            None => (files.first(), violation.field.as_str()),
        };
        match file {
            Some(file) => file.wrong(field, &violation.description),
            None => format!("{}: {}", violation.field, violation.description),
        }
    };
    let lines: Vec<_> = error.violations().iter().map(line).collect();
    Error::Refused(lines.join("\n")).into()
}

/// `workflows[2].tasks[0].id` is 2 and `tasks[0].id`.
fn member(field: &str) -> Option<(usize, &str)> {
    let (index, rest) = field.strip_prefix("workflows[")?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// A file's name for people, and its bytes.
fn text(path: &str) -> Result<(String, Vec<u8>), Failure> {
    // One byte more, so that the reader of the file can say that it is too large.
    let limit = workflow_file::MAX_FILE_BYTES as u64 + 1;
    let mut text = Vec::new();
    if path == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut text).map_err(Failure::Input)?;
        return Ok(("<stdin>".to_owned(), text));
    }
    let opened = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    opened.map_err(|source| Error::Unreadable { file: path.to_owned(), source })?;
    Ok((path.to_owned(), text))
}

/// JSON of an argument, or of the file that it names as `@FILE`.
pub(super) fn json_argument(flag: &str, argument: &str) -> Result<Vec<u8>, Failure> {
    let (name, text) = match argument.strip_prefix('@') {
        Some(path) => text(path)?,
        None => (flag.to_owned(), argument.as_bytes().to_vec()),
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!(
            "{name} is no JSON: {error}; text needs quotes of its own: {flag} '\"text\"'"
        ))),
    }
}

/// An input with these members set in it.
fn with_members(input: Option<Payload>, members: &[(String, String)]) -> Result<Vec<u8>, Failure> {
    let document = match &input {
        Some(Payload::InputJson(text)) if !text.is_empty() => serde_json::from_slice(text)
            .map_err(|error| Failure::Usage(format!("the input is no JSON: {error}")))?,
        _ => Value::Object(Map::new()),
    };
    let Value::Object(mut object) = document else {
        return Err(Failure::Usage(
            "--param sets members of an object, and the workflow's input is none".to_owned(),
        ));
    };
    for (name, value) in members {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
        object.insert(name.clone(), value);
    }
    Ok(Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_json_where_they_can_be_and_text_otherwise() {
        let pairs = [("days", "2"), ("city", "Rome"), ("tags", "[\"a\"]")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let before = Payload::InputJson(br#"{"city":"Oslo","keep":true}"#.to_vec());
        let text = with_members(Some(before), &pairs).unwrap();
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value, serde_json::json!({"city": "Rome", "keep": true, "days": 2, "tags": ["a"]}));
        assert!(with_members(Some(Payload::InputJson(b"[1]".to_vec())), &pairs).is_err());
        assert!(with_members(None, &pairs).is_ok());
    }

    #[test]
    fn fields_of_a_batch_name_their_workflow() {
        assert_eq!(member("workflows[2].tasks[0].id"), Some((2, "tasks[0].id")));
        assert_eq!(member("workflows[1]"), Some((1, "")));
        assert_eq!(member("tasks[0].id"), None);
    }
}
