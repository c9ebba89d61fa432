--- What every verb stands on: its arguments checked, the store open, answers written, and
--- failures turned into one sentence on standard error and an exit code.

local args = require "koncli.args"
local cas = require "konductor.cas"
local core = require "konductor.core"
local exit = require "koncli.exit"
local names = require "konductor.names"
local object = require "koncli.object"
local options_of = require "koncli.options"
local setup = require "konductor.cli.setup"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

--- How long a store that fails in passing is asked again.
local PATIENCE_MS = 10000
--- What the end of a command waits for a Kubernetes Event.
local TELL_MS = 3000

---@class koncli.Command
---@field title string           "once status"
---@field kind "Once"|"Lease"
---@field world konductor.World
---@field namespace string
---@field place string           the store, for sentences
---@field choice konductor.StoreChoice
---@field made table             what cli/setup.lua made
---@field options table
---@field started? boolean       the work of `run` has begun
---@field answered? boolean      `run` has learnt from the store how the object stands
---@field keeps_store? boolean   something of ours may be left, so others shall learn of our end from the kernel
---@field deadline_ms number     boot clock: when passing failures become final
local Command = {}
Command.__index = Command

local function complain(title, sentence)
  core.write(2, text.line(("koncli %s: %s"):format(title, sentence)) .. "\n")
end

--- Says what went wrong.
---@param word string       of core/errors.def, or "claimed"
---@param sentence? string
---@return integer exit_code
function Command:fail(word, sentence)
  complain(self.title, sentence or word)
  return exit.of(word)
end

--- Writes the answer; with -q nothing.
---@param answer string
---@return integer exit_code
function Command:answer(answer)
  if self.options.quiet then
    return exit.OK
  end
  local ok, _, detail = core.write(1, answer)
  if not ok then
    complain(self.title, detail)
    return exit.ERROR
  end
  return exit.OK
end

--- Tells a person what is no answer, on standard error; with -q nothing.
---@param sentence string
function Command:remark(sentence)
  if not self.options.quiet then
    core.write(2, text.line(sentence) .. "\n")
  end
end

--- Writes a value for programs: as one line of JSON, or as YAML.
---@param value table
---@return integer exit_code
function Command:answer_json(value)
  if self.options.output == "yaml" then
    return self:answer(require("konductor.kube.yaml").encode(value))
  end
  local line, _, detail = core.json.encode(value)
  if not line then
    return self:fail("corrupt", detail)
  end
  return self:answer(line .. "\n")
end

--- Writes the object in the form asked for by -o, or a text.
---@param record konductor.Record
---@param text_form? string  for -o text
---@return integer exit_code
function Command:answer_object(record, text_form)
  local output = self.options.output
  if output == "json" or output == "yaml" then
    return self:answer_json(object.api(record, self.namespace))
  elseif output == "name" then
    return self:answer(object.full_name(record) .. "\n")
  end
  return self:answer(text_form --[[@as string]])
end

--- Writes what a change did: the sentence, or the object as asked for by -o.
---@param record konductor.Record
---@param sentence string
---@return integer exit_code
function Command:answer_change(record, sentence)
  return self:answer_object(record, sentence .. "\n")
end

--- A list that stays one in JSON when it is empty.
---@param items table[]
---@return table
function Command:json_list(items)
  return core.json.array(items)
end

--- All objects of a kind.
---@param kind string
---@return konductor.Record[]? records
---@return string? word
---@return string? sentence
function Command:list_of(kind)
  for try = 1, math.huge do
    local records, word, sentence = self.world.list(kind)
    if records or not cas.PASSING[word] or not cas.backoff(self.world, try, self.deadline_ms) then
      return records, word, sentence
    end
  end
end

--- The sentence for an object that is not there, with the name that was probably meant.
---@return string
function Command:absence()
  local name = self.options.name
  local sentence = ("there is no %s %s in namespace %s of %s"):format(self.kind, text.quote(name),
    text.quote(self.namespace), self.place)
  local others = self.world.list(self.kind)
  local known = {}
  for i, record in ipairs(others or {}) do
    known[i] = record.name
  end
  local nearest = text.nearest(name, known)
  return nearest and ("%s; did you mean %s?"):format(sentence, text.quote(nearest)) or sentence
end

--- The object that is named.
---@return konductor.Record? record
---@return string? word
---@return string? sentence
function Command:get()
  local record, word, detail = cas.get(self.world, self.kind, self.options.name, self.deadline_ms)
  if record then
    return record
  elseif word == "absent" then
    return nil, word, self:absence()
  end
  return nil, word, detail or word
end

--- All objects of the kind of this command.
---@return konductor.Record[]? records
---@return string? word
---@return string? sentence
function Command:list()
  return self:list_of(self.kind)
end

local UNKNOWN = "the store did not answer; the change may or may not have been applied: look with koncli %s status %s"

--- Writes a new status, computed again from the record as it is whenever somebody else
--- wrote in between. With a status, `change` may name the session to wake first.
---@param change fun(record: konductor.Record): table?, string?, string?
---@return konductor.Record? record
---@return string|number|nil word  or, with a record, when the write was sent
---@return string? sentence
function Command:change(change)
  while true do
    local record, word, sentence = self:get()
    if not record then
      return nil, word, sentence
    end
    local status
    status, word, sentence = change(record)
    if not status then
      return nil, word, sentence
    end
    local how = { by = "holder", first = word, give_up_at = self.deadline_ms }
    local outcome, value, extra = cas.replace(self.world, record, status, how)
    if outcome == "ok" then
      return value, extra
    elseif outcome == "fatal" then
      return nil, value, extra
    elseif outcome == "unknown" then
      return nil, "unknown", UNKNOWN:format(self.kind:lower(), self.options.name)
    end
  end
end

--- Deletes the object if `may` allows it, looked at again whenever somebody else wrote in
--- between.
---@param may fun(record: konductor.Record): boolean?, string?, string?
---@return konductor.Record? record  as it was
---@return string? word
---@return string? sentence
function Command:delete(may)
  local sent
  for try = 1, math.huge do
    local record, word, sentence = self:get()
    if not record then
      if word == "absent" and sent then
        return sent
      end
      return nil, word, sentence
    end
    local allowed
    allowed, word, sentence = may(record)
    if not allowed then
      return nil, word, sentence
    end
    local deleted
    deleted, word, sentence = self.world.delete(record)
    if deleted then
      return record
    elseif word == "unknown" then
      sent = record
    elseif word ~= "conflict" and word ~= "absent" and not cas.PASSING[word] then
      return nil, word, sentence
    end
    if not cas.backoff(self.world, try, self.deadline_ms) then
      return nil, word, UNKNOWN:format(self.kind:lower(), self.options.name)
    end
  end
end

--- Whether an object that was deleted is still there, because others asked to be waited for.
---@param record konductor.Record  as it was
---@return boolean
function Command:is_staying(record)
  local left = cas.get(self.world, self.kind, record.name, self.deadline_ms)
  return left ~= nil and left.uid == record.uid
end

--- Tells others of what was done by force: a Kubernetes Event, where one may be written. *waits*
---@param name string  of konductor.kube.events
---@param record konductor.Record
---@param fields table
function Command:tell(name, record, fields)
  if self.choice.connection then
    fields.kind, fields.name, fields.uid = record.kind, record.name, record.uid
    local reporter = require("konductor.kube.events").new(self.world, self.made.control.request, {
      store = self.choice.kind, namespace = self.namespace, holder = self.world.holder,
    })
    reporter:take(name, fields)
    reporter:flush(TELL_MS)
  end
end

--- How far the clocks of the store's servers may be apart: what a first look allows for.
---@return integer ms
function Command:skew_ms()
  return self.choice.connection and ttl.SKEW_MS or 0
end

--- The shortest hold that the store grants; nil: it has no say in that.
---@return integer? ms
function Command:min_ttl_ms()
  return self.choice.connection and ttl.SERVER_MIN_MS or nil
end

--- The signal that asked this process to stop.
---@return integer?
function Command:signal()
  return self.made.control.stop_signal
end

local function check(options, verb, noun)
  if verb.names then
    local ok, _, sentence = names.check(options.name)
    if not ok then
      return sentence
    end
  end
  return setup.empty(options, { "store", "namespace", "kubeconfig", "context", "holder", "token" })
    or options_of.read(options, core.environ(), verb.environment or {}, noun)
    or verb.check and verb.check(options)
end

local function open(title, kind, options)
  local made, sentence = setup.new(options)
  if not made then
    return nil, "usage", sentence
  end
  local choice, word, detail = made.choose()
  if not choice then
    return nil, word, detail
  end
  sentence = options_of.too_short(kind == "Lease" and options.ttl_ms or nil, "--ttl", choice)
    or options_of.too_short(options.hold_ms, "--hold", choice)
  if sentence then
    return nil, "usage", sentence
  end
  local store
  store, word, detail = made.open_store()
  if not store then
    return nil, word, detail
  end
  return setmetatable({
    title = title, kind = kind, world = made.world, namespace = choice.namespace, place = choice.place,
    choice = choice, made = made, options = options, deadline_ms = made.world.now() + PATIENCE_MS,
  }, Command), store
end

-- The command line behind "--", for the verbs that run one.
local function split(verb, argv)
  if not verb.runs then
    return argv
  end
  local own, command = {}, nil
  for _, word in ipairs(argv) do
    if command then
      command[#command + 1] = word
    elseif word == "--" then
      command = {}
    else
      own[#own + 1] = word
    end
  end
  return own, command
end

local KINDS = { once = "Once", lease = "Lease" }

--- Runs a verb.
---@param noun "once"|"lease"|nil  nil: a command without a verb
---@param name string
---@param argv string[]
---@return integer exit_code
function M.run(noun, name, argv)
  local title = noun and noun .. " " .. name or name
  local verb = require(noun and ("koncli.%s.%s"):format(noun, name) or "koncli." .. name)
  local own, words = split(verb, argv)
  local options, code = args.parse(title, verb, own)
  if not options then
    return code
  end
  options.command = words
  options.log_level = options.log_level or "warn"
  local sentence = check(options, verb, noun)
  if sentence then
    complain(title, sentence)
    return exit.USAGE
  end
  local command, store, detail = open(title, KINDS[noun], options)
  if not command then
    complain(title, detail)
    return exit.of(store)
  end
  code = verb.run(command, options)
  if not command.keeps_store then
    store:close()
  end
  return code
end

return M
