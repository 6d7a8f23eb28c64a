//! What an attempt asks: the work of a task with its templates resolved.

use std::collections::BTreeMap;

use crate::{
    Call, Function, Http, Request, Spec, Work, Workflow,
    template::{Scope, Unresolved, resolve_json, resolve_text},
    unit::UnitId,
};

/// What an attempt of the unit asks; nothing for work that asks nobody. With `with_result` it is what undoes the unit.
pub(crate) fn of_work(
    workflow: &Workflow,
    id: UnitId,
    work: Option<&Work>,
    with_result: bool,
) -> Result<Option<Request>, Unresolved> {
    let scope = &mut Scope::new(workflow, id, with_result);
    Ok(Some(match work {
        Some(Work::Call(call)) => Request::Call(Call {
            kind: call.kind,
            target: at("target", resolve_text(&call.target, scope))?,
            operation: at("operation", resolve_text(&call.operation, scope))?,
            input: at("input", resolve_json(&call.input, scope))?,
            parameters: resolve_map(&call.parameters, "parameters", scope)?,
        }),
        Some(Work::Http(http)) => Request::Http(Http {
            method: http.method.clone(),
            url: at("url", resolve_text(&http.url, scope))?,
            headers: resolve_map(&http.headers, "headers", scope)?,
            body: at("body", resolve_json(&http.body, scope))?,
        }),
        Some(Work::Function(function)) => Request::Function(Function {
            queue: function.queue.clone(),
            operation: at("operation", resolve_text(&function.operation, scope))?,
            input: at("input", resolve_json(&function.input, scope))?,
            parameters: resolve_map(&function.parameters, "parameters", scope)?,
        }),
        _ => return Ok(None),
    }))
}

/// Resolves what a child workflow takes from its parent.
pub(crate) fn resolve_child(workflow: &Workflow, id: UnitId, spec: &mut Spec) -> Result<(), Unresolved> {
    let scope = &mut Scope::new(workflow, id, false);
    spec.input = at("input", resolve_json(&spec.input, scope))?;
    spec.metadata = resolve_map(&spec.metadata, "metadata", scope)?;
    Ok(())
}

fn resolve_map(
    values: &BTreeMap<String, String>,
    field: &str,
    scope: &mut Scope<'_>,
) -> Result<BTreeMap<String, String>, Unresolved> {
    let resolve = |(key, value): (&String, &String)| {
        let value =
            resolve_text(value, scope).map_err(|error| Unresolved(format!("{field}.{key}: {}", error.0)))?;
        Ok((key.clone(), value))
    };
    values.iter().map(resolve).collect()
}

fn at<T>(field: &str, resolved: Result<T, Unresolved>) -> Result<T, Unresolved> {
    resolved.map_err(|error| Unresolved(format!("{field}: {}", error.0)))
}
