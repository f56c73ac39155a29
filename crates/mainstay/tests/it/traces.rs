//! Spans that reach a collector of OpenTelemetry: a real server, and a real receiver of OTLP over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mainstay_testkit::pause;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;

use crate::support::server::{free_port, mainstay};

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
    let mut stream = std::net::TcpStream::connect(&listen).unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = format!(
        "GET /healthz HTTP/1.1\r\nhost: {listen}\r\ntraceparent: {trace}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
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
    let request = spans.iter().find(|span| hex(&span.trace_id) == "0af7651916cd43dd8448eb211c80319c");
    let request = request.unwrap_or_else(|| panic!("the caller's trace is not among {spans:?}"));
    assert_eq!((request.name.as_str(), hex(&request.parent_span_id).as_str()), ("http", "b7ad6b7169203331"));
    assert!(request.end_time_unix_nano > request.start_time_unix_nano);
    let event = request
        .events
        .iter()
        .find(|event| event.name == "request")
        .expect("the log line is an event of the span");
    assert!(event.attributes.iter().any(|attribute| attribute.key == "route"), "{event:?}");
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
