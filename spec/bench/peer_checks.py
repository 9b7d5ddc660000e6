# peer_checks.py: chat examples through Python's json and the checks of OpenAI's cookbook (Chat_finetuning_data_prep:
# which ones, not its code). A line at a time, so that memory is not what is measured.
#   python3 peer_checks.py FILE
import collections
import json
import sys

KEYS = {"role", "content", "name", "function_call", "weight"}
ROLES = {"system", "user", "assistant", "function"}


def check(example, errors):
    if not isinstance(example, dict):
        errors["data_type"] += 1
        return
    messages = example.get("messages")
    if not messages:
        errors["missing_messages_list"] += 1
        return
    for message in messages:
        if "role" not in message or "content" not in message:
            errors["message_missing_key"] += 1
        if any(key not in KEYS for key in message):
            errors["message_unrecognized_key"] += 1
        if message.get("role") not in ROLES:
            errors["unrecognized_role"] += 1
        content = message.get("content")
        if (not content and not message.get("function_call")) or not isinstance(content, str):
            errors["missing_content"] += 1
    if not any(message.get("role") == "assistant" for message in messages):
        errors["example_missing_assistant_message"] += 1


errors = collections.Counter()
count = 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        count += 1
        try:
            check(json.loads(line), errors)
        except ValueError:
            errors["json"] += 1
print(count, sum(errors.values()))
