-- gateway: OpenAI's dialect, as it is.

return require "spec.contract.openai"
