//! Packets that no stock program sends, made by scapy inside a namespace.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use olt_sim::lab::Namespace;
use serde_json::Value;

/// The distribution's interpreter, which has the distribution's scapy; another `python3` may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

/// Takes Python from standard input, a JSON string a line; answers with what the code left in `result`.
/// Whatever scapy prints goes to standard error.
const INTERPRETER: &str = r#"
import json, logging, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import *
conf.verb = 0
scope = dict(globals())
def answer(what):
    answers.write(json.dumps(what) + "\n")
    answers.flush()
answer({"result": conf.version})
for line in sys.stdin:
    scope["result"] = None
    try:
        exec(json.loads(line), scope)
        answer({"result": scope["result"]})
    except BaseException:
        answer({"error": traceback.format_exc()})
"#;

/// A scapy interpreter in one namespace. Loading it takes a second, so one serves a whole story.
#[derive(Debug)]
pub struct Scapy {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Scapy {
    pub fn start(namespace: &Namespace) -> Self {
        Self::run(namespace.command(PYTHON))
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .args(["-c", INTERPRETER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let output = child.stdout.take().expect("its output is piped");
        let mut scapy = Self {
            questions: child.stdin.take(),
            answers: BufReader::new(output).lines(),
            child,
        };
        scapy.answer("loading scapy (package python3-scapy)");
        scapy
    }

    /// Runs Python to its end; what it left in `result`.
    #[track_caller]
    pub fn exec(&mut self, python: &str) -> Value {
        let line = Value::from(python).to_string();
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{line}").expect("scapy listens");
        self.answer(python)
    }

    #[track_caller]
    fn answer(&mut self, question: &str) -> Value {
        let line = match self.answers.next() {
            Some(Ok(line)) => line,
            end => panic!("scapy ended at: {question}\n{end:?}"),
        };
        let mut answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
        if let Some(error) = answer["error"].as_str() {
            panic!("scapy could not: {question}\n{error}");
        }
        answer["result"].take()
    }
}

impl Drop for Scapy {
    fn drop(&mut self) {
        // The end of its input is the end of the interpreter; a code block that hangs is killed.
        self.questions = None;
        let ended =
            olt_sim::lab::namespace::wait_until(crate::PATIENCE, || self.child.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_run_and_its_result_comes_back() {
        let mut scapy = Scapy::run(Command::new(PYTHON));

        scapy.exec("ttl = 7");
        let bytes = scapy.exec("print('noise'); result = len(bytes(IP(ttl=ttl)/UDP()))");

        assert_eq!(bytes, 28);
    }

    #[test]
    #[should_panic(expected = "NameError")]
    fn a_mistake_in_the_code_is_told() {
        Scapy::run(Command::new(PYTHON)).exec("result = nothing_of_that_name");
    }
}
