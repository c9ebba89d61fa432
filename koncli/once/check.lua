--- `koncli once check NAME`: has it been executed?
---
--- A script may read the sentence or, with -q, the exit code. An absent Once is no error,
--- because a recipe must not take a failure for either answer.

local exit = require "koncli.exit"
local object = require "koncli.object"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Says 'has been executed' or 'has not been executed'; the exit code is 0 for both.",
  names = true,
  formats = { "text", "json", "yaml" },
  examples = [[
  koncli once check db-init | grep -q "has been executed"
  koncli once check db-init -q           exit code 0: executed, 5: not yet, 2: there is no such Once
  koncli once check db-init --version v2]],
}

function M.describe(parser)
  parser:option("--version"):argname("VERSION"):description("Default: the declared one, else the one claimed last.")
end

local WHY = {
  Running = function(view) return ": it is being run by " .. view.executor end,
  Lapsed = function(view) return (": the time of its executor %s is over"):format(view.executor) end,
  InDoubt = function(view) return (": its executor %s is gone; it may or may not have run"):format(view.executor) end,
  Failed = function(view)
    return (": it failed for good after %d %s"):format(view.attempts, view.attempts == 1 and "attempt" or "attempts")
  end,
  Retrying = function(view) return (": it failed, attempt %d"):format(view.attempts) end,
  Expired = function() return ": the time of its record is over" end,
}

local function subject(command, version)
  local name = ("Once %s"):format(text.quote(command.options.name))
  return version ~= "" and ("version %s of %s"):format(version, name) or name
end

local function sentence_of(command, rec, view)
  local version = object.version_meant(view, command.options.version)
  local what, done = subject(command, version), object.executed(view, command.options.version)
  if done then
    local at = done.executedAt and ", " .. done.executedAt or ""
    return ("%s has been executed by %s%s"):format(what, done.executor or "an unknown replica", at)
  end
  local why = view.version == version and WHY[object.once_state(rec, view)]
  return ("%s has not been executed%s"):format(what, why and why(view) or "")
end

local function check_absent(command, sentence)
  if command.options.quiet then
    return exit.ABSENT
  elseif command.options.output ~= "text" then
    return command:answer "null\n"
  end
  return command:answer(("%s has not been executed: %s\n"):format(
    subject(command, command.options.version or ""), sentence))
end

function M.run(command, options)
  local rec, word, sentence = command:get()
  if not rec then
    return word == "absent" and check_absent(command, sentence) or command:fail(word, sentence)
  end
  local view
  view, word, sentence = record.once(rec)
  if not view then
    return command:fail(word, sentence)
  elseif options.quiet then
    return object.executed(view, options.version) and exit.OK or exit.UNAVAILABLE
  end
  return command:answer_object(rec, text.clip(sentence_of(command, rec, view), 4096) .. "\n")
end

return M
