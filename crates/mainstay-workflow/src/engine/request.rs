//! What is asked of an engine: starts.

use serde_json::Value;

/// A run to start.
///
/// ```
/// use mainstay_workflow::StartRequest;
///
/// let request = StartRequest::new("order", serde_json::json!({"order": 17})).key("17").priority(5);
/// assert_eq!(request.workflow(), "order");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    pub(crate) workflow: String,
    pub(crate) input: Value,
    pub(crate) version: Option<u32>,
    pub(crate) key: Option<String>,
    pub(crate) priority: i16,
    pub(crate) fairness: Option<String>,
    pub(crate) attributes: Value,
    pub(crate) telemetry: Value,
    pub(crate) paused: bool,
}

impl StartRequest {
    /// A run of a workflow with an input.
    #[must_use]
    pub fn new(workflow: &str, input: Value) -> Self {
        Self {
            workflow: workflow.to_owned(),
            input,
            version: None,
            key: None,
            priority: 0,
            fairness: None,
            attributes: Value::Null,
            telemetry: Value::Null,
            paused: false,
        }
    }

    /// The workflow.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// What the run is given.
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.input
    }

    /// Exactly this version. Otherwise the workflow's resolver decides, and else its current version.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version: Some(version), ..self }
    }

    /// The value of the business key: lower-case letters and digits, or a lower-case UUID.
    #[must_use]
    pub fn key(self, value: &str) -> Self {
        Self { key: Some(value.to_owned()), ..self }
    }

    /// How urgent its steps are: lower numbers first, 0 unless said.
    #[must_use]
    pub fn priority(self, priority: i16) -> Self {
        Self { priority, ..self }
    }

    /// Among whom a queue's turns are shared out evenly, such as a tenant.
    ///
    /// Runs without a key come after those of the same priority that have one, for as long as there are such: where one run of a queue has a
    /// key, give each of them one.
    #[must_use]
    pub fn fairness(self, key: &str) -> Self {
        Self { fairness: Some(key.to_owned()), ..self }
    }

    /// What the run can be found by beside its context: an object.
    #[must_use]
    pub fn attributes(self, attributes: Value) -> Self {
        Self { attributes, ..self }
    }

    /// What every event of telemetry about the run carries, below what the engine itself says: an object.
    #[must_use]
    pub fn telemetry(self, metadata: Value) -> Self {
        Self { telemetry: metadata, ..self }
    }

    /// Begins paused: nothing runs until it is resumed.
    #[must_use]
    pub fn paused(self) -> Self {
        Self { paused: true, ..self }
    }
}
