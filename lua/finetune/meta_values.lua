---@meta
-- luacheck: no max line length
--- The values and the parameters of finetune, for people and for lua-language-server; see meta.lua.
--- Times are seconds (a moment: Unix time), sizes are bytes, unless said otherwise.

-- ---- errors ----

---@alias finetune.kind "usage"|"config"|"job"|"auth"|"permission"|"not_found"|"conflict"|"invalid"|"rate_limit"|"quota"|"server"|"transport"|"timeout"|"cancelled"|"unsupported"|"decode"|"data"|"provider"|"memory"

---@class finetune.error  `tostring` gives one line; no secret is ever in it
---@field kind finetune.kind
---@field op? string  the operation
---@field provider? string
---@field message string
---@field status? integer  of HTTP
---@field code? string|integer  the service's own
---@field param? string  the parameter that the service complains about
---@field type? string  the service's own word
---@field request_id? string
---@field retryable? boolean  the same call may succeed later
---@field retry_after? number  seconds, where the service said so
---@field attempts? integer  how often it was sent
---@field sent? boolean  false: the request never reached the service, or was certainly not carried out
---@field reason? string  of kind "unsupported": why, and what to do in its place
---@field cause? any
---@field report? finetune.report  of prepare_data
---@field candidates? finetune.job[]  of create_job with kind "conflict": one of these may be it
---@field token? string  of create_job with kind "conflict": give it to create_job as `token` to go on

-- ---- values ----

---@class finetune.job
---@field id string
---@field status string  pending validating queued running paused finalizing cancelling succeeded failed cancelled; another word is the service's own, and not the end
---@field raw_status? string  the service's word, where it said one
---@field model? string
---@field fine_tuned_model? string  once it has succeeded
---@field created_at? integer
---@field finished_at? integer
---@field estimated_finish? integer
---@field trained_tokens? integer
---@field training_file? string
---@field validation_file? string
---@field hyperparameters? table
---@field method? table
---@field seed? integer
---@field suffix? string
---@field metadata? table<string, string>
---@field integrations? table[]
---@field result_files? string[]
---@field progress? number  0 to 1, where the service says so
---@field error? {code?: string, message?: string, param?: string}
---@field raw table  what the service said

---@class finetune.file
---@field id string
---@field filename? string
---@field bytes? integer
---@field purpose? string
---@field status? string  uploaded, processed, error, or as the service says
---@field created_at? integer
---@field expires_at? integer
---@field raw table

---@class finetune.event
---@field id? string
---@field created_at? integer
---@field level? string  info, warn, error
---@field message? string
---@field type? string  message, metrics; status and progress where the service has no events
---@field data? table
---@field raw? table

---@class finetune.checkpoint
---@field id string
---@field created_at? integer
---@field step? integer
---@field model? string
---@field metrics? table
---@field job_id? string
---@field raw table

---@class finetune.model
---@field id string
---@field created_at? integer
---@field owned_by? string
---@field shutdown_date? string  YYYY-MM-DD
---@field raw table

---@class finetune.deleted
---@field id string
---@field deleted true
---@field raw? table

---@class finetune.metric  one row a step
---@field step integer
---@field train_loss? number
---@field valid_loss? number
---@field train_accuracy? number
---@field valid_accuracy? number
---@field full_valid_loss? number
---@field full_valid_accuracy? number
---@field learning_rate? number
---@field epoch? number

---@class finetune.page<T>: {data: T[], has_more: boolean, next: string?, raw: table?}  `next` is the `after` of the next page

-- ---- parameters: every operation takes these as one table, or its first one before the table ----

---@alias finetune.id string|{id: string}  an id, or the object that has it

---@class finetune.params
---@field timeout? number  seconds for each of its requests
---@field extra? table  fields for the service, passed as they are

---@class finetune.params.upload_file: finetune.params
---@field path string  streamed: memory does not depend on its size
---@field purpose? string  "fine-tune"
---@field filename? string
---@field wait? boolean  until the service has processed it
---@field wait_timeout? number  seconds (1800)
---@field on_progress? fun(done: integer, total: integer)  bytes
---@field part_size? integer  bytes of a part, for large files
---@field expires_after? table

---@class finetune.params.create_job: finetune.params
---@field model finetune.id
---@field training_file finetune.id
---@field validation_file? finetune.id
---@field suffix? string
---@field seed? integer
---@field hyperparameters? table  n_epochs, batch_size, learning_rate_multiplier, …
---@field method? string|table  "supervised", "dpo", "reinforcement", or the service's own table
---@field grader? table  of reinforcement
---@field metadata? table<string, string>
---@field integrations? table[]
---@field token? string  this creation's own mark: keep it, and a creation whose answer was lost is found again
---@field wait_for_files? boolean  until the files are ready (true)
---@field file_timeout? number  seconds for that (1800)

---@class finetune.params.get_job: finetune.params
---@field job_id finetune.id

---@class finetune.params.cancel_job: finetune.params.get_job
---@class finetune.params.pause_job: finetune.params.get_job
---@class finetune.params.resume_job: finetune.params.get_job
---@class finetune.params.delete_job: finetune.params.get_job
---@class finetune.params.list_metrics: finetune.params.get_job

---@class finetune.params.list: finetune.params
---@field limit? integer  items a page
---@field after? string  the `next` of the page before

---@class finetune.params.list_models: finetune.params.list

---@class finetune.params.list_jobs: finetune.params.list
---@field metadata? table<string, string>  only those with it

---@class finetune.params.list_events: finetune.params.list
---@field job_id finetune.id

---@class finetune.params.list_checkpoints: finetune.params.list_events

---@class finetune.params.list_files: finetune.params.list
---@field purpose? string
---@field order? string  asc, desc

---@class finetune.params.get_file: finetune.params
---@field file_id finetune.id

---@class finetune.params.delete_file: finetune.params.get_file

---@class finetune.params.download_file: finetune.params.get_file
---@field output? string  a path; it appears whole, or not at all
---@field on_progress? fun(done: integer, total: integer)  bytes
---@field max_bytes? integer  more is an error

---@class finetune.params.get_model: finetune.params
---@field model finetune.id

---@class finetune.params.delete_model: finetune.params.get_model
---@class finetune.params.undeploy_model: finetune.params.get_model

---@class finetune.params.deploy_model: finetune.params.get_model
---@field name? string

---@class finetune.params.sample: finetune.params.get_model
---@field messages? table[]
---@field prompt? string
---@field max_tokens? integer
---@field temperature? number

---@class finetune.params.estimate_cost: finetune.params
---@field model? finetune.id
---@field training_file? finetune.id
---@field path? string
---@field method? string|table
---@field hyperparameters? table

---@class finetune.params.validate_grader: finetune.params
---@field grader table

---@class finetune.params.run_grader: finetune.params.validate_grader
---@field model_sample string
---@field item? table

---@class finetune.params.wait
---@field timeout? number  seconds until `nil, err` with kind "timeout" (86400: one day)
---@field interval? number  seconds between the first two polls (1); each pause is 1.5 times the one before …
---@field max_interval? number  … up to this (10; `local`: 1, or up to 8 where more than 20 are watched)
---@field on_progress? fun(job: finetune.job)  after each poll

---@class finetune.params.follow
---@field timeout? number  seconds (86400)
---@field interval? number  seconds (1)
---@field max_interval? number  seconds (10; `local`: 1, or up to 8 where more than 20 are watched)
---@field limit? integer  events a page
