--- `koncli once list`.

local show = require "koncli.show"

---@type koncli.Verb
return {
  summary = "Shows every Once of the namespace, one a line.",
  names = false,
  examples = [[
  koncli once list
  koncli once list -n prod -o name]],
  run = show.list,
}
