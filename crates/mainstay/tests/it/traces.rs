//! Spans that reach a collector of OpenTelemetry: a real server, and a real receiver of OTLP over HTTP.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mainstay_testkit::pause;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::server::{free_port, mainstay};

/// What a path may hold that nobody else shall read.
const SECRET: &str = "setup_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hears what is sent to a collector: the path, the kind of content, the spans.
fn collector() -> (String, Receiver<(String, String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heard, hear) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let (mut length, mut kind) = (0, String::new());
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim().split_once(": ") else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "content-type" => value.clone_into(&mut kind),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            if heard.send((path, kind, request)).is_err() {
                return;
            }
        }
    });
    (url, hear)
}

fn serve(directory: &std::path::Path, listen: &str, collector: &str) -> Child {
    let mut command = mainstay();
    command.args(["serve", "--listen", listen, "--data", directory.join("data").to_str().unwrap()]);
    // The name that every program with OpenTelemetry reads.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while std::net::TcpStream::connect(listen).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "the server does not start");
        pause(Duration::from_millis(20));
    }
    child
}

#[test]
fn requests_are_traced_as_a_part_of_their_callers_trace() {
    let directory = tempfile::tempdir().unwrap();
    let (url, hear) = collector();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut server = serve(directory.path(), &listen, &url);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = |line: &str, status: &str| {
        let mut stream = std::net::TcpStream::connect(&listen).unwrap();
        let request =
            format!("{line} HTTP/1.1\r\nhost: {listen}\r\ntraceparent: {trace}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    };
    ask("GET /healthz", "200");
    ask(&format!("GET /setup/{SECRET}"), "403");
    ask("GET /no/such/page", "404");
    ask("FETCH /healthz", "405");
    // The last spans are sent when the server ends.
    let ended =
        std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(ended.success() && server.wait().unwrap().success());
    let mut spans = Vec::new();
    while let Ok((path, kind, request)) = hear.recv_timeout(Duration::from_secs(1)) {
        assert_eq!((path.as_str(), kind.as_str()), ("/v1/traces", "application/x-protobuf"));
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            let name = name.value.clone().unwrap().value.unwrap();
            assert_eq!(name, Value::StringValue("mainstay".to_owned()));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_caller: Vec<&Span> = spans
        .iter()
        .filter(|span| hex(&span.trace_id) == "0af7651916cd43dd8448eb211c80319c" && span.kind == 2)
        .collect();
    let names: BTreeSet<&str> = of_caller.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["GET", "GET /healthz", "GET /setup/{token}", "HTTP /healthz"].into());
    for span in of_caller {
        assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331", "{span:?}");
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        let event = span.events.iter().find(|event| event.name == "request");
        let event = event.expect("the log line is an event of the span");
        assert!(event.attributes.iter().any(|attribute| attribute.key == "route"), "{event:?}");
        assert!(!format!("{span:?}").contains(SECRET), "{span:?}");
        let (method, status) = match span.name.as_str() {
            "GET /healthz" => ("GET", 200),
            "GET /setup/{token}" => ("GET", 403),
            "GET" => ("GET", 404),
            _ => ("_OTHER", 405),
        };
        assert_eq!(attribute(span, "http.request.method"), Some(Value::StringValue(method.to_owned())));
        assert_eq!(attribute(span, "http.response.status_code"), Some(Value::IntValue(status)));
        assert_eq!(
            span.status.clone().unwrap_or_default().code,
            0,
            "a client's mistake is no error: {span:?}"
        );
    }
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value
}

/// A collector that nobody can reach costs spans, not requests, and holds the end up for a bounded time.
#[test]
fn a_collector_that_is_away_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut server = serve(directory.path(), &listen, &format!("http://127.0.0.1:{}", free_port()));
    let begun = Instant::now();
    let ended =
        std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(ended.success() && server.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
