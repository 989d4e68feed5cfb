//! The Lambda handler's process: log, configuration and clients once per cold start, then one event after the other.

use std::process::ExitCode;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{LambdaEvent, LambdaInvocation, Runtime, service_fn};
use notion_sync::config::Variables;
use notion_sync::lambda::{Handler, Invocation, event_as_text};
use notion_sync::output::Outlet;
use notion_sync::telemetry;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let variables = Variables::from_environment();
    let level = telemetry::lambda_level(variables.get("AWS_LAMBDA_LOG_LEVEL"));
    let output = Outlet::standard_output();
    telemetry::install(telemetry::Style::Json, level, output.clone());
    let handler = Handler::new(&variables).await;
    let (handler, output) = (&handler, &output);
    let service = service_fn(move |event: LambdaEvent<String>| async move {
        let (event, context) = event.into_parts();
        let invocation = Invocation { event, request_id: context.request_id, deadline_ms: context.deadline };
        handler.handle(invocation, output).await
    });
    let as_text = MapRequestLayer::new(|mut invocation: LambdaInvocation| {
        invocation.body = event_as_text(&invocation.body).into();
        invocation
    });
    match Runtime::new(service).layer(as_text).layer(TracingLayer::new()).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}
