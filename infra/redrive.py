#!/usr/bin/env python3
"""Runs failed events again: takes them from the two queues of a stack, invokes the function, removes what was accepted.

    .venv-deploy/bin/python infra/redrive.py ENV [--list] [--class NAME] [--max N]

Safe to repeat: runs are idempotent, and an event that fails again comes back into the failure queue. Events that ask for the same
thing are run once. The credentials are those of the AWS environment.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

from stack import ALIAS, Stack

# A message that was looked at is invisible for this long, so that one pass sees each once.
PASS_SECONDS = 60
BATCH = 10


@dataclass(frozen=True)
class FailedEvent:
    """One message of either queue."""

    queue_url: str
    receipt: str
    event: str
    failure_class: str
    message: str
    sent: str

    @property
    def key(self) -> str:
        """What the event asks for: two with the same key are one job."""
        try:
            event = json.loads(self.event)
        except json.JSONDecodeError:
            return self.event
        if isinstance(event, dict):
            event.pop("trigger", None)
        return json.dumps(event, sort_keys=True)


def parse(queue_url: str, message: dict) -> FailedEvent:
    """Reads a destination record (requestPayload, responsePayload) or a bare event of the scheduler's dead-letter queue."""
    attributes = message.get("MessageAttributes", {})
    failure_class = attributes.get("ERROR_CODE", {}).get("StringValue", "Undelivered")
    text = attributes.get("ERROR_MESSAGE", {}).get("StringValue", "the scheduler could not deliver it")
    event = message["Body"]
    try:
        record = json.loads(event)
    except json.JSONDecodeError:
        record = None
    if isinstance(record, dict) and "requestPayload" in record:
        event = json.dumps(record["requestPayload"])
        response = record.get("responsePayload") or {}
        condition = record.get("requestContext", {}).get("condition", "unknown")
        failure_class = response.get("errorType") or condition
        text = response.get("errorMessage") or f"no answer ({condition})"
    sent = message.get("Attributes", {}).get("SentTimestamp", "")
    return FailedEvent(queue_url, message["ReceiptHandle"], event, failure_class, text, sent)


def receive(sqs, queue_url: str, limit: int) -> list[FailedEvent]:
    """Up to `limit` messages, each invisible to others for a pass."""
    found: list[FailedEvent] = []
    while len(found) < limit:
        answer = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=min(BATCH, limit - len(found)), VisibilityTimeout=PASS_SECONDS,
            WaitTimeSeconds=1, MessageAttributeNames=["All"], AttributeNames=["SentTimestamp"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            break
        found += [parse(queue_url, message) for message in messages]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="an environment of samconfig.toml, such as dev")
    parser.add_argument("--list", action="store_true", help="only show what waits")
    parser.add_argument("--class", dest="failure_class", help="only events that failed with this class")
    parser.add_argument("--max", type=int, default=100, help="at most so many events of each queue (default 100)")
    arguments = parser.parse_args()

    stack = Stack(arguments.environment)
    sqs, function = stack.client("sqs"), stack.client("lambda")
    failed: list[FailedEvent] = []
    for name in ("FailureQueueUrl", "ScheduleDeadLetterQueueUrl"):
        failed += receive(sqs, stack.outputs[name], arguments.max)
    chosen = [f for f in failed if arguments.failure_class in (None, f.failure_class)]
    refused = 0
    accepted: set[str] = set()
    try:
        for item in chosen:
            print(f"{item.failure_class}: {item.event}\n    {item.message}")
            if arguments.list:
                continue
            if item.key not in accepted:
                answer = function.invoke(FunctionName=stack.outputs["FunctionName"], Qualifier=ALIAS, InvocationType="Event", Payload=item.event.encode())
                if answer["StatusCode"] != 202:
                    refused += 1
                    print(f"    not accepted (status {answer['StatusCode']}); it stays in the queue")
                    continue
                accepted.add(item.key)
            sqs.delete_message(QueueUrl=item.queue_url, ReceiptHandle=item.receipt)
    finally:
        kept = failed if arguments.list else [f for f in failed if f not in chosen]
        for item in kept:
            sqs.change_message_visibility(QueueUrl=item.queue_url, ReceiptHandle=item.receipt, VisibilityTimeout=0)
    done = "wait" if arguments.list else f"taken, {len(accepted)} started"
    print(f"{len(chosen)} failed events {done}" + (f", {refused} not accepted" if refused else ""))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
