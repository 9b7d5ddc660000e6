/*
** rules_table.h: every rule, one row each:
**   RULE(NAME, "id", default severity, what it means, how to mend what it finds, its source)
** Included with RULE defined: check.h makes the numbers of it, rules_table.c the words. The
** default severity is the neutral one; a provider's fact `dataset.rules` and the user change it.
** Sources: JSON RFC 8259; GUIDE OpenAI's guides to fine-tuning; API OpenAI's API description 2.3.0
** and the schemas of training data it had before; COOKBOOK OpenAI's cookbook,
** Chat_finetuning_data_prep; TOGETHER together-python, utils/files.py (2025-12); VISION the
** guides of OpenAI and Azure to vision fine-tuning; OWN what finetune adds.
*/

/* ---- text that is to hold an example ---- */
RULE(SYNTAX, "syntax", ERROR, "an example is one JSON value", "write it with a JSON library", JSON)
RULE(UTF8, "utf8", ERROR, "text is UTF-8", "save the file as UTF-8", JSON)
RULE(DEPTH, "depth", ERROR, "arrays and objects are nested at most 128 deep",
     "flatten it, or write the inner part as a string", OWN)
RULE(DUPLICATE_KEY, "duplicate_key", ERROR, "a key is in an object once",
     "keep the one that is meant: of two, every reader takes another", JSON)
RULE(TOO_MANY_VALUES, "too_many_values", ERROR, "an example has at most 4194304 values and keys",
     "is an end of line missing, or is the whole set in one line?", OWN)
RULE(TOO_LONG, "too_long", ERROR, "a line has at most 64 MiB", "is the end of a line missing?", OWN)
RULE(BLANK_LINE, "blank_line", WARNING, "a line holds an example", "remove the line", JSON)
RULE(EXAMPLE, "example", ERROR, "an example can be written as JSON",
     "give strings, numbers, booleans and tables of them", OWN)

/* ---- shape ---- */
RULE(FORMAT, "format", ERROR, "every example of a set has one and the same known format",
     "make a file for each format", TOGETHER)
RULE(TYPE, "type", ERROR, "a value has the type that belongs to its key", "write the right type",
     API)
RULE(MISSING, "missing", ERROR, "what an object needs is there", "add the key", API)
RULE(EMPTY, "empty", ERROR, "what must not be empty is not", "fill it, or remove the whole", API)
RULE(EXTRA_KEY, "extra_key", WARNING, "an example has no keys but those of its format",
     "remove the key: some services refuse it, the others do not look at it", TOGETHER)
RULE(UNKNOWN_KEY, "unknown_key", WARNING, "what is in an example has no unknown keys",
     "remove the key, or correct its spelling", COOKBOOK)

/* ---- roles and their order ---- */
RULE(ROLE, "role", ERROR, "a role is a known one",
     "use system, developer, user, assistant, tool or function", API)
RULE(DEVELOPER_ROLE, "developer_role", OFF, "no message has the role developer",
     "this service knows system, and not developer", TOGETHER)
RULE(TOOL_ROLE, "tool_role", OFF, "no message has the role tool",
     "this service learns from no tool calls; leave such examples out", TOGETHER)
RULE(FUNCTION_ROLE, "function_role", OFF, "no message has the role function",
     "write role tool and tool_call_id", TOGETHER)
RULE(LEGACY, "legacy", OFF, "functions and function_call are not used",
     "write tools and tool_calls, which took their place", API)
RULE(NO_ASSISTANT, "no_assistant", ERROR, "there is an assistant message",
     "add the answer that the model shall learn", COOKBOOK)
RULE(NO_USER, "no_user", WARNING, "there is a user message", "add what the assistant answers to",
     COOKBOOK)
RULE(NO_SYSTEM, "no_system", OFF, "there is a system or developer message",
     "add the one that you will use with the model", COOKBOOK)
RULE(SYSTEM_PLACE, "system_place", WARNING, "system messages stand before all others",
     "move it to the front; chat templates of many models refuse it elsewhere", TOGETHER)
RULE(FIRST_MESSAGE, "first_message", WARNING, "a user begins the conversation",
     "put the user message first that the assistant answers to", TOGETHER)
RULE(LAST_MESSAGE, "last_message", WARNING, "an assistant message is the last",
     "remove what comes behind the last answer: nothing is learned from it", GUIDE)
RULE(LAST_CALL, "last_call", OFF, "the last message is an answer, not a tool call",
     "add the tool's result and the answer made of it", GUIDE)
RULE(LAST_USER, "last_user", ERROR, "an example of reinforcement ends with a user message",
     "remove the answer: the model will find its own", GUIDE)
RULE(ALTERNATION, "alternation", WARNING, "user and assistant take turns",
     "join the two messages, or put what is missing between them", TOGETHER)
RULE(TOO_MANY_MESSAGES, "too_many_messages", ERROR,
     "an example has no more messages than the service takes", "split the conversation", OWN)

/* ---- content ---- */
RULE(CONTENT, "content", ERROR, "a message says something", "add content, or remove the message",
     COOKBOOK)
RULE(EMPTY_CONTENT, "empty_content", WARNING, "text is not empty",
     "write the text, or remove the message", COOKBOOK)
RULE(EMPTY_COMPLETION, "empty_completion", WARNING, "there is something to be learned",
     "write the completion, or remove the example", GUIDE)
RULE(CONTENT_PARTS, "content_parts", OFF, "content is a string",
     "join the texts of the parts to one string", TOGETHER)
RULE(PART_TYPE, "part_type", WARNING, "the type of a part is known",
     "use text, image_url, input_audio, file or refusal", API)
RULE(SPECIAL_TOKEN, "special_token", WARNING, "text holds no special tokens, such as <|im_start|>",
     "remove it: services refuse it or break it up, and trainers may read it as a command", GUIDE)
RULE(REASONING, "reasoning", WARNING, "a message has no reasoning beside its content",
     "remove it: this service does not know it", TOGETHER)
RULE(NAME, "name", WARNING, "a name is 1 to 64 characters without blanks, <, |, \\, / and >",
     "use letters, digits, _ and -", API)

/* ---- weights ---- */
RULE(WEIGHT, "weight", ERROR, "a weight is 0 or 1", "write 0 (not learned) or 1 (learned)", GUIDE)
RULE(WEIGHT_ROLE, "weight_role", ERROR, "only assistant messages have a weight", "remove it", GUIDE)
RULE(NO_WEIGHT, "no_weight", ERROR, "not every assistant message has weight 0",
     "give one of them weight 1, or remove the example", GUIDE)

RULE(SAMPLE_WEIGHT, "sample_weight", WARNING, "an example has no weight of its own",
     "remove it: this service does not know it", TOGETHER)

/* ---- tools ---- */
RULE(TOOLS, "tools", OFF, "an example has no tools",
     "this service learns from no tool calls; leave such examples out", TOGETHER)
RULE(PARALLEL_TOOL_CALLS, "parallel_tool_calls", OFF, "an example has no parallel_tool_calls",
     "remove it: this service does not know it", TOGETHER)
RULE(TOO_MANY_TOOLS, "too_many_tools", WARNING, "an example declares no more tools than are taken",
     "declare the tools that the example needs", API)
RULE(TOOL_TYPE, "tool_type", ERROR, "a tool and a call have the type function",
     "write \"type\": \"function\"", API)
RULE(TOOL_NAME, "tool_name", WARNING, "a function's name is 1 to 64 letters, digits, _ and -",
     "rename it, in its declaration and in its calls", API)
RULE(TOOL_TWICE, "tool_twice", ERROR, "a function is declared once", "remove one of the two", OWN)
RULE(TOOL_UNDECLARED, "tool_undeclared", ERROR, "a function that is called is declared in tools",
     "declare it, or correct the name", GUIDE)
RULE(NO_TOOLS, "no_tools", OFF, "an example that calls a tool declares it",
     "add tools: the model will be asked with them", GUIDE)
RULE(ASSISTANT_ONLY, "assistant_only", ERROR, "only an assistant calls tools, refuses or speaks",
     "remove it or correct the role", API)
RULE(ARGUMENTS, "arguments", ERROR, "arguments are a string that holds JSON",
     "encode the object as JSON once more, so that it becomes a string", API)
RULE(ARGUMENTS_JSON, "arguments_json", ERROR, "the string of arguments holds a JSON object",
     "write an object, {} where there are no arguments", API)
RULE(CALL_TWICE, "call_twice", ERROR, "the calls of a message have ids of their own",
     "give each call another id", API)
RULE(CALL_UNANSWERED, "call_unanswered", ERROR,
     "every call is answered by a tool message before the conversation goes on",
     "add a tool message for each call", API)
RULE(TOOL_CALL_ID, "tool_call_id", ERROR, "a tool message names the call that it answers",
     "add tool_call_id", API)
RULE(UNKNOWN_CALL, "unknown_call", ERROR, "a tool message answers a call made just before it",
     "correct tool_call_id, or add the assistant message with the call", API)
RULE(ANSWER_TWICE, "answer_twice", ERROR, "a call is answered once", "keep one of the answers", API)
RULE(TOOL_ONLY, "tool_only", WARNING, "only a tool message has a tool_call_id", "remove it", API)
RULE(FUNCTION_NAME, "function_name", ERROR, "a function message names its function", "add name",
     API)

/* ---- images ---- */
RULE(IMAGE_ROLE, "image_role", ERROR, "images are in user messages only",
     "move the image to a user message", VISION)
RULE(TOO_MANY_IMAGES, "too_many_images", ERROR, "an example has no more images than are taken",
     "make several examples of it", VISION)
RULE(IMAGE_SIZE, "image_size", ERROR, "an image is no larger than the service takes",
     "scale it down, or compress it more", VISION)
RULE(IMAGE_TYPE, "image_type", ERROR, "an image in the data is a JPEG, PNG or WEBP",
     "convert it, and name its media type", VISION)
RULE(IMAGE_URL, "image_url", ERROR, "an image is an http URL or a data URL in base64",
     "write https://..., or data:image/png;base64,...", VISION)
RULE(IMAGE_LINK, "image_link", OFF, "images are in the data itself",
     "put the image into the data: data:image/png;base64,...", TOGETHER)
RULE(IMAGE_DATA, "image_data", ERROR, "the base64 text of an image is whole and well formed",
     "encode the image once more", VISION)

/* ---- preference ---- */
RULE(OUTPUT_ROLE, "output_role", ERROR, "an output holds assistant messages only",
     "put the others into input.messages", GUIDE)
RULE(OUTPUT_COUNT, "output_count", ERROR, "an output is one message",
     "put the earlier messages into input.messages", TOGETHER)
RULE(INPUT_LAST, "input_last", ERROR, "the input does not end with an assistant message",
     "move that message into the outputs", TOGETHER)
RULE(SAME_OUTPUTS, "same_outputs", WARNING, "the two outputs differ",
     "remove the example: nothing is preferred in it", OWN)

/* ---- what becomes of it ---- */
RULE(RECORD, "record", ERROR, "a file can be cut into examples",
     "look at this place: what stands before it decides", OWN)
RULE(LOST, "lost", ERROR, "an example says all it says in the other format too",
     "choose another format, or name in `drop` the keys that may go", OWN)
RULE(TOO_HEAVY, "too_heavy", ERROR, "an example fits, if need be without its older messages",
     "shorten it, or raise the limit", OWN)

/* ---- a whole set ---- */
RULE(BOM, "bom", OFF, "a file has the byte order mark that the service wants, or none",
     "save the file as the service wants it", GUIDE)
RULE(CHANGED, "changed", WARNING, "nobody writes to a file while it is read",
     "run it again when the file is whole", OWN)
RULE(SERVICE_FORMAT, "service_format", WARNING, "the service takes the format",
     "convert the examples with `to`", GUIDE)
RULE(MIN_EXAMPLES, "min_examples", WARNING, "there are as many examples as the service wants",
     "add examples", GUIDE)
RULE(MAX_EXAMPLES, "max_examples", WARNING, "there are no more examples than the service takes",
     "take a part of them with `max_examples`", GUIDE)
RULE(MAX_BYTES, "max_bytes", WARNING, "the file is no larger than the service takes",
     "split the file, or take a part of it", GUIDE)
RULE(DUPLICATE_EXAMPLE, "duplicate_example", WARNING, "an example is there once",
     "remove the later ones with `dedupe`", OWN)
RULE(LEAKED_VALIDATION, "leaked_validation", ERROR,
     "no validation example is among the training examples",
     "remove it from one of the two: the validation loss would tell nothing", OWN)
RULE(VALIDATION_FILE, "validation_file", WARNING, "the validation file can be read",
     "check that file by itself: what cannot be read is looked for nowhere", OWN)
RULE(ONE_ANSWER, "one_answer", WARNING, "the answers are not all the same",
     "check what made them: a model learns to say only that", OWN)
