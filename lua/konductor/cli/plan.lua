--- `konductor plan SCRIPT`: what a script would do, and what of it is done.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local plan = require "konductor.plan"
local say = require "konductor.cli.say"
local schema = require "konductor.api.schema"
local setup = require "konductor.cli.setup"
local source = require "konductor.cli.source"

local M = {}

local function complain(sentence, word)
  core.write(2, ("konductor plan: %s\n"):format(sentence))
  return core.exit_code(word)
end

--- States of all that the program names. Without them: a word and a sentence.
local function read_states(world, program)
  local states = {}
  local function look(kind, name, judge)
    local record, word, detail = world.get(kind, name)
    if not record and word ~= "absent" then
      return word, detail
    end
    states[kind .. "/" .. name] = judge(record)
  end
  for _, item in ipairs(program.items) do
    local onces = item.type == "once" and { item } or item.flow.stages
    for _, once in ipairs(onces) do
      local word, detail = look("Once", once.object, function(record)
        local state = plan.once_state(record, once.version, once.retries and once.retries + 1)
        state.kept = plan.kept(record)
        return state
      end)
      if word then
        return nil, word, detail
      end
    end
  end
  for _, lease in ipairs(program.leases) do
    local word, detail = look("Lease", lease.name, plan.lease_state)
    if word then
      return nil, word, detail
    end
  end
  return states
end

---@param given string[]
---@param command? string[]
---@return integer exit_code
function M.run(given, command)
  local options, code = args.parse("plan", given)
  if not options then
    return code
  end
  options.command = command
  local found, missing = source.read(options.script)
  if not found then
    return complain(missing, "usage")
  end
  options.log_level = "warn"
  local made, sentence = setup.new(options)
  if not made then
    return complain(sentence, "usage")
  end
  local context = made.context
  local program
  program, code = source.look(context, found)
  if not program then
    return code
  end
  for _, warning in ipairs(schema.warnings(program)) do
    made.log:log("warn", warning)
  end
  local view = {
    name = context.name, items = program.items, leases = program.leases, main = program.main, steps = program.steps,
  }
  if not options.offline then
    local choice, word, detail = made.choose()
    if not choice then
      return complain(detail, word)
    end
    view.store = choice.place
    view.states, word, detail = read_states(made.world, program)
    if not view.states then
      return complain(detail, word)
    end
  end
  return say("konductor plan", plan.render(view, options.output))
end

return M
