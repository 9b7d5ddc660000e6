-- gateway: OpenAI's dialect, as it is: its statuses and its dataset too.

return require "spec.contract.openai"
