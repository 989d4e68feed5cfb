//! Which exchange gets which fault: an ordered list of rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::answer::Answer;

/// The fault of one exchange. "Before" = the upstream never sees the request; "after" = it has applied it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead of the upstream's, which never sees the request.
    Answer(Answer),
    /// The connection is reset, the request never forwarded.
    ResetBefore,
    /// The connection is reset after the upstream has answered: applied, answer lost.
    ResetAfter,
    /// The request is never forwarded and never answered; reset after the time given, or when the proxy stops.
    HangBefore(Option<Duration>),
    /// The upstream has answered, the client never hears of it; reset after the time given, or when the proxy stops.
    HangAfter(Option<Duration>),
    /// The upstream's answer ends in the middle of its body, with an orderly end of the connection.
    TruncateBody,
    /// Forwarded only after this time.
    SlowRequest(Duration),
    /// The answer's body drips in over this time.
    SlowBody(Duration),
    /// Forwarded when the test releases it.
    HoldRequest(Hold),
    /// Forwarded at once, answered when the test releases it.
    HoldAnswer(Hold),
    /// The upstream's answer, applied and then changed.
    Rewrite(Rewrite),
}

/// A change of an answer: status and body in, status and body out.
#[derive(Clone)]
pub struct Rewrite(Arc<Change>);

type Change = dyn Fn(u16, Vec<u8>) -> (u16, Vec<u8>) + Send + Sync;

impl Rewrite {
    /// Makes a change of answers.
    pub fn new(change: impl Fn(u16, Vec<u8>) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    pub(super) fn apply(&self, status: u16, body: Vec<u8>) -> (u16, Vec<u8>) {
        (self.0)(status, body)
    }
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}

impl Fault {
    /// Returns the fault's name in the log of exchanges.
    pub fn name(&self) -> String {
        let name = match self {
            Self::Answer(answer) => return format!("answer {}", answer.status),
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::HangBefore(_) => "hang before",
            Self::HangAfter(_) => "hang after",
            Self::TruncateBody => "truncated body",
            Self::SlowRequest(_) => "slow request",
            Self::SlowBody(_) => "slow body",
            Self::HoldRequest(_) => "held request",
            Self::HoldAnswer(_) => "held answer",
            Self::Rewrite(_) => "rewritten answer",
        };
        name.to_owned()
    }
}

/// Lets a test wait for an exchange to come and decide when it goes on.
#[derive(Debug, Clone)]
pub struct Hold {
    held: watch::Sender<u64>,
    released: watch::Sender<bool>,
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Hold {
    /// A hold that no exchange has reached yet.
    pub fn new() -> Self {
        Self { held: watch::Sender::new(0), released: watch::Sender::new(false) }
    }

    /// Waits until an exchange is (or was) held.
    pub async fn reached(&self) {
        // The sender lives in `self`, so the wait can't fail.
        let _ = self.held.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Lets the held exchanges go on, and all that come later.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        self.held.send_modify(|count| *count += 1);
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

/// Which exchanges get a fault, and how often. By default the first one, whatever it is.
#[derive(Debug, Clone)]
pub struct Rule {
    method: Option<String>,
    path_part: Option<String>,
    body_part: Option<String>,
    exchange: Option<u64>,
    skips_left: u64,
    times_left: Option<u64>,
    fault: Fault,
}

impl Rule {
    /// A rule for one exchange, the next that comes.
    pub fn new(fault: Fault) -> Self {
        Self {
            method: None,
            path_part: None,
            body_part: None,
            exchange: None,
            skips_left: 0,
            times_left: Some(1),
            fault,
        }
    }

    /// Only requests with this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_uppercase());
        self
    }

    /// Only requests whose path (with its query string) contains this.
    pub fn path(mut self, part: &str) -> Self {
        self.path_part = Some(part.to_owned());
        self
    }

    /// Only requests whose body contains this.
    pub fn body(mut self, part: &str) -> Self {
        self.body_part = Some(part.to_owned());
        self
    }

    /// Only the exchange with this index, counted from 0 over all that pass the proxy.
    pub fn exchange(mut self, index: u64) -> Self {
        self.exchange = Some(index);
        self
    }

    /// Lets the first `count` matching requests pass.
    pub fn skip(mut self, count: u64) -> Self {
        self.skips_left = count;
        self
    }

    /// For `count` matching requests.
    pub fn times(mut self, count: u64) -> Self {
        self.times_left = Some(count);
        self
    }

    /// For every matching request.
    pub fn always(mut self) -> Self {
        self.times_left = None;
        self
    }

    fn matches(&self, request: &Matched<'_>) -> bool {
        self.exchange.is_none_or(|index| index == request.index)
            && self.method.as_deref().is_none_or(|method| method == request.method)
            && self.path_part.as_deref().is_none_or(|part| request.path.contains(part))
            && self.body_part.as_deref().is_none_or(|part| contains(request.body, part.as_bytes()))
    }
}

/// The parts of a request that a rule looks at.
pub(super) struct Matched<'a> {
    pub(super) index: u64,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
}

/// The rules in force. The first that matches and has neither skips left nor its times used up decides; a rule that
/// lets a request pass hands it on to the next.
#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
}

impl Script {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn fault_for(&mut self, request: &Matched<'_>) -> Option<Fault> {
        for rule in self.rules.iter_mut().filter(|rule| rule.matches(request)) {
            if rule.skips_left > 0 {
                rule.skips_left -= 1;
                continue;
            }
            match &mut rule.times_left {
                None => return Some(rule.fault.clone()),
                Some(0) => {}
                Some(times) => {
                    *times -= 1;
                    return Some(rule.fault.clone());
                }
            }
        }
        None
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(script: &mut Script, requests: &[(&str, &str, &str)]) -> Vec<Option<String>> {
        let requests = requests.iter().enumerate();
        requests
            .map(|(index, (method, path, body))| {
                let request = Matched { index: index as u64, method, path, body: body.as_bytes() };
                script.fault_for(&request).map(|fault| fault.name())
            })
            .collect()
    }

    fn answer(status: u16) -> Fault {
        Fault::Answer(Answer::new(status, "text/plain", ""))
    }

    #[test]
    fn the_first_rule_that_has_something_to_say_decides() {
        let mut script = Script::default();
        script.add(Rule::new(answer(503)).method("post").path("/query").skip(1).times(2));
        script.add(Rule::new(answer(500)).body("\"is_archived\":true").always());
        let query = ("POST", "/v1/data_sources/1/query", "{\"is_archived\":true}");
        let other = ("GET", "/v1/data_sources/1/query", "{}");
        let found = faults(&mut script, &[query, other, query, query, query]);
        let expected = [Some("answer 500"), None, Some("answer 503"), Some("answer 503"), Some("answer 500")];
        assert_eq!(found, expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn one_exchange_can_be_named_by_its_index() {
        let mut script = Script::default();
        script.add(Rule::new(Fault::ResetAfter).exchange(1));
        assert_eq!(faults(&mut script, &[("GET", "/", ""); 3]), [None, Some("reset after".to_owned()), None]);
    }
}
