--- What the commands' options have in common.

local M = {}

--- The options that say which store is meant. Each is given once: of two the wrong one may be meant.
---@param parser table
function M.add_store(parser)
  parser:option("--store"):argname("STORE"):overwrite(false)
    :description('Where the truth lives: "kube", "kube-lease" or "sqlite:PATH". Default: $KONDUCTOR_STORE, else kube '
      .. "in a pod or with a kubeconfig, else ~/.local/state/konductor/state.db.")
  parser:option("-n --namespace"):argname("NAME"):overwrite(false)
    :description('Separates what has nothing to do with each other. Default: $KONDUCTOR_NAMESPACE, else that of the '
      .. 'kubeconfig\'s context or of the pod, else "default".')
  M.add_cluster(parser)
end

--- The options that say which cluster is meant.
---@param parser table
function M.add_cluster(parser)
  parser:option("--kubeconfig"):argname("FILE"):overwrite(false)
    :description("Which cluster, and who we are there. Default: $KUBECONFIG, else the pod's service account, "
      .. "else ~/.kube/config.")
  parser:option("--context"):argname("NAME"):overwrite(false)
    :description("Of the kubeconfig. Default: its current-context.")
end

--- The script of a command that takes one.
---@param parser table
function M.add_script(parser)
  parser:argument("script"):args(1)
    :description('A file; "-" for standard input; "@NAME" for a built-in script (konductor help scripts).')
  parser:argument("stray"):args("*"):hidden(true)
end

--- To be called last: what stands behind "--" is no argument of the parser's.
---@param parser table
function M.add_command_to_usage(parser)
  parser:usage(parser:get_usage() .. " [-- COMMAND...]")
end

return M
