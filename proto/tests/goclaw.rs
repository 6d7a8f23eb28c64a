//! Pins every number of the workflow API that existing clients know: `goclaw.v1` as its origin has it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::collections::{BTreeMap, BTreeSet};
use switchboard_proto::goclaw::v1::TaskDefinition;

/// Each message of the origin: `field number type`. `*` repeats; `map` is map<string,string>; TS is a Timestamp.
const MESSAGES: &str = "
common PaginationRequest: page_size 1 i32, page_token 2 str
common PaginationResponse: next_page_token 1 str, total_count 2 i32
common Error: code 1 str, message 2 str, details 3 map
common Timestamp: value 1 TS
workflow TaskDefinition: id 1 str, name 2 str, dependencies 3 *str, metadata 4 map
workflow SubmitWorkflowRequest: name 1 str, tasks 2 *TaskDefinition, metadata 3 map
workflow SubmitWorkflowResponse: workflow_id 1 str, error 2 Error
workflow ListWorkflowsRequest: pagination 1 PaginationRequest, status_filter 2 WorkflowStatus
workflow ListWorkflowsResponse: workflows 1 *WorkflowSummary, pagination 2 PaginationResponse, error 3 Error
workflow WorkflowSummary: workflow_id 1 str, name 2 str, status 3 WorkflowStatus, created_at 4 TS, updated_at 5 TS
workflow GetWorkflowStatusRequest: workflow_id 1 str
workflow GetWorkflowStatusResponse: workflow_id 1 str, name 2 str, status 3 WorkflowStatus, tasks 4 *TaskStatusDetail, created_at 5 TS, updated_at 6 TS, error 7 Error
workflow TaskStatusDetail: task_id 1 str, name 2 str, status 3 TaskStatus, started_at 4 TS, completed_at 5 TS, error_message 6 str
workflow CancelWorkflowRequest: workflow_id 1 str, force 2 bool
workflow CancelWorkflowResponse: success 1 bool, error 2 Error
workflow GetTaskResultRequest: workflow_id 1 str, task_id 2 str
workflow GetTaskResultResponse: task_id 1 str, status 2 TaskStatus, result_data 3 bytes, error_message 4 str, error 5 Error
streaming WatchWorkflowRequest: workflow_id 1 str, resume_from_sequence 2 i64
streaming WorkflowStatusUpdate: sequence_number 1 i64, timestamp 2 TS, workflow_id 3 str, status 4 WorkflowStatus, message 5 str, error 6 Error
streaming WatchTasksRequest: workflow_id 1 str, task_ids 2 *str, terminal_only 3 bool, resume_from_sequence 4 i64
streaming TaskProgressUpdate: sequence_number 1 i64, timestamp 2 TS, workflow_id 3 str, task_id 4 str, status 5 TaskStatus, progress_percent 6 i32, message 7 str, error 8 Error
streaming LogStreamRequest: workflow_id 1 str, min_level 2 LogLevel, task_ids 3 *str
streaming LogEntry: timestamp 1 TS, level 2 LogLevel, workflow_id 3 str, task_id 4 str, message 5 str, fields 6 map
streaming LogStreamResponse: entries 1 *LogEntry, error 2 Error
batch SubmitWorkflowsRequest: workflows 1 *SubmitWorkflowRequest, atomic 2 bool, idempotency_key 3 str, ordered 4 bool
batch WorkflowSubmissionResult: index 1 i32, success 2 bool, workflow_id 3 str, error 4 Error
batch SubmitWorkflowsResponse: results 1 *WorkflowSubmissionResult, pagination 2 PaginationResponse, error 3 Error
batch GetWorkflowStatusesRequest: workflow_ids 1 *str, pagination 2 PaginationRequest
batch WorkflowStatusResult: workflow_id 1 str, found 2 bool, status 3 GetWorkflowStatusResponse, error 4 Error
batch GetWorkflowStatusesResponse: results 1 *WorkflowStatusResult, pagination 2 PaginationResponse, error 3 Error
batch CancelWorkflowsRequest: workflow_ids 1 *str, force 2 bool, timeout_seconds 3 i32
batch WorkflowCancellationResult: workflow_id 1 str, success 2 bool, already_terminal 3 bool, error 4 Error
batch CancelWorkflowsResponse: results 1 *WorkflowCancellationResult, error 2 Error
batch GetTaskResultsRequest: workflow_id 1 str, task_ids 2 *str, pagination 3 PaginationRequest
batch TaskResultDetail: task_id 1 str, found 2 bool, result 3 GetTaskResultResponse, error 4 Error
batch GetTaskResultsResponse: results 1 *TaskResultDetail, pagination 2 PaginationResponse, error 3 Error
admin GetEngineStatusRequest:
admin EngineMetrics: active_workflows 1 i64, completed_workflows 2 i64, running_tasks 3 i64, queue_depth 4 i64, memory_usage_bytes 5 i64, goroutine_count 6 i32, cpu_usage_percent 7 double
admin GetEngineStatusResponse: state 1 EngineState, metrics 2 EngineMetrics, uptime_since 3 TS, last_error 4 str, healthy 5 bool, error 6 Error
admin UpdateConfigRequest: config_updates 1 map, persist 2 bool, dry_run 3 bool
admin UpdateConfigResponse: success 1 bool, applied_changes 2 map, error 3 Error
admin ClusterNode: node_id 1 str, address 2 str, role 3 str, healthy 4 bool, joined_at 5 TS
admin ManageClusterRequest: operation 1 ClusterOperation, node_id 2 str, node_address 3 str, confirmation 4 bool
admin ManageClusterResponse: success 1 bool, nodes 2 *ClusterNode, error 3 Error
admin PauseWorkflowsRequest: confirmation 1 bool
admin PauseWorkflowsResponse: success 1 bool, paused_count 2 i32, error 3 Error
admin ResumeWorkflowsRequest:
admin ResumeWorkflowsResponse: success 1 bool, resumed_count 2 i32, error 3 Error
admin PurgeWorkflowsRequest: age_threshold_hours 1 i32, confirmation 2 bool, dry_run 3 bool
admin PurgeWorkflowsResponse: success 1 bool, purged_count 2 i32, error 3 Error
admin GetLaneStatsRequest: lane_name 1 str
admin LaneStats: lane_name 1 str, queue_depth 2 i32, worker_count 3 i32, throughput_per_sec 4 double, error_rate 5 double
admin GetLaneStatsResponse: lanes 1 *LaneStats, error 2 Error
admin ExportMetricsRequest: format 1 MetricsFormat, prefix_filter 2 str
admin ExportMetricsResponse: metrics_data 1 str, error 2 Error
admin GetDebugInfoRequest: type 1 DebugInfoType, duration_seconds 2 i32
admin GetDebugInfoResponse: debug_data 1 bytes, error 2 Error
saga SagaStepDefinition: id 1 str, depends_on 2 *str, delay_ms 3 i32, should_fail 4 bool, timeout_ms 5 i32, enable_compensation 6 bool, skip_compensation 7 bool
saga SubmitSagaRequest: name 1 str, policy 2 SagaCompensationPolicy, timeout_ms 3 i32, step_timeout_ms 4 i32, metadata 5 map, input 6 Struct, steps 7 *SagaStepDefinition
saga SubmitSagaResponse: saga_id 1 str, name 2 str, state 3 SagaState, created_at 4 TS
saga GetSagaStatusRequest: saga_id 1 str
saga SagaStepResult: step_id 1 str, result_json 2 bytes
saga GetSagaStatusResponse: saga_id 1 str, name 2 str, state 3 SagaState, completed_steps 4 *str, compensated_steps 5 *str, failed_step 6 str, failure_reason 7 str, step_results 8 *SagaStepResult, created_at 9 TS, updated_at 10 TS, started_at 11 TS, completed_at 12 TS
saga ListSagasRequest: pagination 1 PaginationRequest, state_filter 2 SagaState
saga SagaSummary: saga_id 1 str, name 2 str, state 3 SagaState, created_at 4 TS, completed_at 5 TS
saga ListSagasResponse: sagas 1 *SagaSummary, pagination 2 PaginationResponse
saga CompensateSagaRequest: saga_id 1 str, reason 2 str
saga CompensateSagaResponse: saga_id 1 str, state 2 SagaState
saga WatchSagaRequest: saga_id 1 str, poll_interval_ms 2 i32
saga WatchSagaEvent: saga_id 1 str, state 2 SagaState, failed_step 3 str, failure_reason 4 str, updated_at 5 TS
signal SignalTaskRequest: type 1 SignalType, task_id 2 str, task_ids 3 *str, parameters 4 map, graceful 5 bool, reason 6 str, timeout_ms 7 i64
signal CollectResult: task_id 1 str, result_data 2 bytes, error_message 3 str
signal SignalTaskResponse: success 1 bool, results 2 *CollectResult, error 3 Error
";

/// Each enum: its values from 0, without the prefix that is its own name.
const ENUMS: &str = "
workflow WorkflowStatus: UNSPECIFIED PENDING RUNNING COMPLETED FAILED CANCELLED
workflow TaskStatus: UNSPECIFIED PENDING RUNNING COMPLETED FAILED CANCELLED
streaming LogLevel: UNSPECIFIED DEBUG INFO WARN ERROR
admin EngineState: UNSPECIFIED IDLE RUNNING STOPPED ERROR
admin ClusterOperation: UNSPECIFIED LIST ADD REMOVE PROMOTE
admin MetricsFormat: UNSPECIFIED PROMETHEUS JSON
admin DebugInfoType: UNSPECIFIED GOROUTINE HEAP CPU
saga SagaState: UNSPECIFIED CREATED RUNNING COMPLETED COMPENSATING PENDING_COMPENSATION COMPENSATED COMPENSATION_FAILED RECOVERING
saga SagaCompensationPolicy: UNSPECIFIED AUTO MANUAL SKIP
signal SignalType: UNSPECIFIED STEER INTERRUPT COLLECT
";

/// Each service: its methods. `X` takes XRequest and gives XResponse; `<` streams requests, `>` streams responses,
/// of the type that follows.
const SERVICES: &str = "
workflow WorkflowService: SubmitWorkflow, ListWorkflows, GetWorkflowStatus, CancelWorkflow, GetTaskResult
streaming StreamingService: WatchWorkflow >WorkflowStatusUpdate, WatchTasks >TaskProgressUpdate, StreamLogs <LogStreamRequest >LogStreamResponse
batch BatchService: SubmitWorkflows, GetWorkflowStatuses, CancelWorkflows, GetTaskResults
admin AdminService: GetEngineStatus, UpdateConfig, ManageCluster, PauseWorkflows, ResumeWorkflows, PurgeWorkflows, GetLaneStats, ExportMetrics, GetDebugInfo
saga SagaService: SubmitSaga, GetSagaStatus, ListSagas, CompensateSaga, WatchSaga >WatchSagaEvent
signal SignalService: SignalTask
";

/// The files of the origin; the others of the package are ours.
const ORIGIN: [&str; 7] = ["common", "workflow", "streaming", "batch", "admin", "saga", "signal"];

/// Numbers below are the origin's.
const FIRST_OF_OURS: i32 = 100;

fn files() -> BTreeMap<String, FileDescriptorProto> {
    let set = FileDescriptorSet::decode(switchboard_proto::DESCRIPTOR_SET).unwrap();
    let name = |file: &FileDescriptorProto| {
        Some(file.name().strip_prefix("goclaw/v1/")?.strip_suffix(".proto")?.to_owned())
    };
    set.file.into_iter().filter_map(|file| Some((name(&file)?, file))).collect()
}

/// The lines of a table as (file, name, rest).
fn rows(table: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    table.lines().filter(|line| !line.is_empty()).map(|line| {
        let (head, rest) = line.split_once(':').unwrap();
        let (file, name) = head.split_once(' ').unwrap();
        (file, name, rest.trim())
    })
}

/// The fields of a message as the table writes them, those of the origin only.
fn shown(message: &DescriptorProto) -> String {
    let mut fields: Vec<_> = message.field.iter().filter(|field| field.number() < FIRST_OF_OURS).collect();
    fields.sort_by_key(|field| field.number());
    let shown = fields.into_iter().map(|field| {
        let of = field.type_name().rsplit('.').next().unwrap_or_default();
        let map = message.nested_type.iter().find(|nested| nested.name() == of);
        let type_ = match field.r#type() {
            Type::String => "str",
            Type::Int32 => "i32",
            Type::Int64 => "i64",
            Type::Bool => "bool",
            Type::Bytes => "bytes",
            Type::Double => "double",
            Type::Message if field.type_name() == ".google.protobuf.Timestamp" => "TS",
            Type::Message if field.type_name() == ".google.protobuf.Struct" => "Struct",
            Type::Message if map.is_some() => {
                let entry = map.unwrap();
                assert!(entry.options.as_ref().unwrap().map_entry() && entry.field.len() == 2);
                assert!(entry.field.iter().all(|field| field.r#type() == Type::String));
                "map"
            }
            Type::Message | Type::Enum => {
                assert!(field.type_name().starts_with(".goclaw.v1."), "{}", field.type_name());
                of
            }
            other => panic!("{} is {other:?}", field.name()),
        };
        let repeated = field.label() == Label::Repeated && type_ != "map";
        assert!(field.oneof_index.is_none(), "{} of the origin is in no oneof", field.name());
        format!("{} {} {}{type_}", field.name(), field.number(), if repeated { "*" } else { "" })
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// `WorkflowStatus` as the prefix of its values: `WORKFLOW_STATUS_`.
fn prefix(name: &str) -> String {
    let mut prefix = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix + "_"
}

fn values(of: &EnumDescriptorProto) -> String {
    let values = of.value.iter().enumerate().map(|(index, value)| {
        assert_eq!(value.number(), i32::try_from(index).unwrap(), "{}", value.name());
        value.name().strip_prefix(&prefix(of.name())).unwrap().to_owned()
    });
    values.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_message_has_the_origins_numbers() {
    let files = files();
    for (file, name, expected) in rows(MESSAGES) {
        let message = files[file].message_type.iter().find(|message| message.name() == name);
        assert_eq!(shown(message.unwrap_or_else(|| panic!("no message {name}"))), expected, "{name}");
    }
}

#[test]
fn every_enum_has_the_origins_values() {
    let files = files();
    for (file, name, expected) in rows(ENUMS) {
        let found = files[file].enum_type.iter().find(|found| found.name() == name);
        assert_eq!(values(found.unwrap_or_else(|| panic!("no enum {name}"))), expected, "{name}");
    }
}

#[test]
fn every_service_has_the_origins_methods() {
    let files = files();
    for (file, name, expected) in rows(SERVICES) {
        let service = files[file].service.iter().find(|service| service.name() == name).unwrap();
        let methods = service.method.iter().map(|method| {
            let name = method.name();
            let input = method.input_type().strip_prefix(".goclaw.v1.").unwrap();
            let output = method.output_type().strip_prefix(".goclaw.v1.").unwrap();
            let mut shown = name.to_owned();
            match method.client_streaming() {
                true => shown += &format!(" <{input}"),
                false => assert_eq!(input, format!("{name}Request")),
            }
            match method.server_streaming() {
                true => shown += &format!(" >{output}"),
                false => assert_eq!(output, format!("{name}Response")),
            }
            shown
        });
        assert_eq!(methods.collect::<Vec<_>>().join(", "), expected, "{name}");
    }
}

#[test]
fn nothing_of_ours_hides_among_what_is_the_origins() {
    let listed: BTreeSet<_> = [MESSAGES, ENUMS, SERVICES]
        .into_iter()
        .flat_map(rows)
        .map(|(file, name, _)| (file.to_owned(), name.to_owned()))
        .collect();
    let files = files();
    assert_eq!(files.values().filter(|file| file.package() != "goclaw.v1").count(), 0);
    for file in ORIGIN {
        let descriptor = &files[file];
        let names = descriptor
            .message_type
            .iter()
            .map(DescriptorProto::name)
            .chain(descriptor.enum_type.iter().map(EnumDescriptorProto::name))
            .chain(descriptor.service.iter().map(|service| service.name()));
        for name in names {
            assert!(
                listed.contains(&(file.to_owned(), name.to_owned())),
                "{file}.proto: {name} is not the origin's"
            );
        }
    }
}

#[test]
fn the_same_message_is_the_same_bytes() {
    let metadata = (0..20).map(|index| (format!("k{index}"), index.to_string()));
    let message = TaskDefinition { metadata: metadata.clone().collect(), ..TaskDefinition::default() };
    let again = TaskDefinition { metadata: metadata.rev().collect(), ..TaskDefinition::default() };
    assert_eq!(message.encode_to_vec(), again.encode_to_vec());
}
