--- Words for the schemas of crds.lua: fields of an object as the API server checks them. Pure.
---
--- Every text and list has a limit: the server charges a CEL rule for the longest value that
--- it could meet, and refuses a definition whose rules could cost too much.

local M = {}

--- Whole numbers that every reader of JSON understands.
M.MAX_INTEGER = 9007199254740991

-- Go's syntax, without a sign: a duration here is never negative. "\\." in CEL is "\." to RE2.
local DURATION = [[^\\+?(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$|^0$]]
local NOT_A_DURATION = "is not a duration; write for example 15s, 10m or 1h30m"

--- A rule that the server checks, and what it says when it is broken.
---@param cel string
---@param message string
---@return table
function M.rule(cel, message)
  return { rule = cel, message = message }
end

--- A rule about one text, whose message begins with that text: the server shows only its type.
---@param cel string
---@param message string
---@return table
function M.text_rule(cel, message)
  return { rule = cel, message = message, messageExpression = ([["\"" + self + "\" %s"]]):format(message) }
end

local function with(field, more)
  for key, value in pairs(more or {}) do
    field[key] = value
  end
  return field
end

---@param max integer  characters
---@param description string
---@param more? table
---@return table
function M.text(max, description, more)
  return with({ type = "string", maxLength = max, description = description }, more)
end

--- A duration; `min` and `min_message` refuse short ones.
---@param description string
---@param min? string
---@param min_message? string
---@return table
function M.duration(description, min, min_message)
  local is_duration = ("self.matches('%s')"):format(DURATION)
  local rules = {
    M.text_rule(is_duration, NOT_A_DURATION),
    M.text_rule(("!%s || duration(self) <= duration('2540400h')"):format(is_duration), "is longer than 290 years"),
  }
  if min then
    rules[3] = M.text_rule(("!%s || duration(self) %s"):format(is_duration, min), min_message)
  end
  return M.text(64, description, { ["x-kubernetes-validations"] = rules })
end

--- A point in time, RFC 3339, for people.
---@param description string
---@return table
function M.time(description)
  return M.text(64, description, { format = "date-time" })
end

---@param words string[]
---@param description string
---@param default? string
---@return table
function M.enum(words, description, default)
  return { type = "string", enum = words, description = description, default = default }
end

---@param description string
---@param default? boolean
---@return table
function M.boolean(description, default)
  return { type = "boolean", description = description, default = default }
end

---@param low integer
---@param high? integer  default: what fits
---@param description string
---@return table
function M.integer(low, high, description)
  return {
    type = "integer", format = "int64", minimum = low, maximum = high or M.MAX_INTEGER, description = description,
  }
end

---@param description string
---@return table
function M.priority(description)
  return { type = "integer", format = "int32", minimum = -2147483648, maximum = 2147483647, description = description }
end

---@param description string
---@param properties table<string, table>
---@param more? table
---@return table
function M.object(description, properties, more)
  return with({ type = "object", description = description, properties = properties }, more)
end

--- A list that is replaced as a whole.
---@param max integer
---@param description string
---@param items table
---@return table
function M.list(max, description, items)
  return {
    type = "array", maxItems = max, description = description, items = items, ["x-kubernetes-list-type"] = "atomic",
  }
end

--- An object of which the server keeps fields that the schema does not know.
M.OPEN = { ["x-kubernetes-preserve-unknown-fields"] = true }

--- status.conditions as the API conventions have them.
---@param meaning string  of the types
---@return table
function M.conditions(meaning)
  return {
    type = "array", maxItems = 16, description = "What can be said about the object in single words. " .. meaning,
    ["x-kubernetes-list-type"] = "map", ["x-kubernetes-list-map-keys"] = { "type" },
    items = M.object("One thing that is so, is not so, or is not known.", {
      type = M.text(316, "What is spoken of, in CamelCase."),
      status = M.enum({ "True", "False", "Unknown" }, "Whether it is so."),
      reason = M.text(1024, "Why, as one word in CamelCase."),
      message = M.text(32768, "Why, for people."),
      lastTransitionTime = M.time("When the status of this condition last changed."),
      observedGeneration = M.integer(0, nil, "The metadata.generation that the condition was set for."),
    }, { required = { "type", "status" } }),
  }
end

return M
