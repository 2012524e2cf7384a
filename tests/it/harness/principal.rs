//! Somebody who asks: a key, and the requests made with it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

#[derive(Clone)]
pub struct Principal {
    address: SocketAddr,
    key: Option<String>,
    headers: Vec<(String, String)>,
    agent: Agent,
}

pub struct Reply {
    pub status: u16,
    /// `Null` where there is none.
    pub body: Value,
    /// The same as it came; empty where that is no text.
    pub text: String,
    pub headers: Vec<(String, String)>,
    asked: String,
}

impl Principal {
    pub fn new(address: SocketAddr, key: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { address, key, headers: Vec::new(), agent: agent.into() }
    }

    pub fn key(&self) -> &str {
        self.key.as_deref().expect("somebody with a key")
    }

    pub fn with_other_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same, with one more header on each request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body.to_string().into_bytes()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
    pub fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some(body.to_string().into_bytes()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
    pub fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Some(body.to_string().into_bytes()))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// Any bytes as a JSON body.
    pub fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Reply {
        let uri = format!("http://{}{path}", self.address);
        let method: Method = method.parse().expect("a method");
        let asked = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        if body.is_some() && !self.headers.iter().any(|(name, _)| name == "Content-Type") {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        Reply::read(response.unwrap_or_else(|error| panic!("{asked}: {error}")), asked)
    }
}

impl Reply {
    fn read(mut response: Response<Body>, asked: String) -> Self {
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, body, text, headers, asked }
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {:#}", self.asked, self.body);
        self.body
    }

    /// The problem's code, of an answer that must be a problem with this status.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}: {:#}", self.asked, self.body);
        let content_type = self.header("content-type").unwrap_or_default();
        assert_eq!(content_type, "application/problem+json", "{}", self.asked);
        assert_eq!(self.body["status"], status);
        assert!(self.body["request_id"].as_str().is_some_and(|id| !id.is_empty()));
        self.body["code"].as_str().expect("a code").to_owned()
    }

    /// The pointers of the fields at fault.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
