# bash completion of kctl(1)
_kctl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} word command='' nested=''
  local everywhere='--socket --json --color --help'
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && continue
    if [[ -z $command ]]; then command=$word; elif [[ -z $nested ]]; then nested=$word; fi
  done
  case $previous in
    --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$current"); return ;;
    --socket|--policy|--key|--output|--node) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
  esac
  local words=$everywhere
  case $command in
    '')
      words='status node doctor import tune watch jobs show cancel resume releases diff promote rollback export report'
      words+=" corpus golden objects policy replay ledger --version $everywhere" ;;
    import) words="--name --shape $everywhere" ;;
    tune)
      words='--policy --budget --seed --target --build-only --node --candidates --output --name --shape --detach'
      words+=" $everywhere" ;;
    promote) words="--force $everywhere" ;;
    report)
      words="show verify html"
      [[ $nested == verify ]] && words="--key $everywhere"
      [[ $nested == html ]] && words="--output $everywhere" ;;
    corpus)
      words='list show add remove'
      [[ $nested == add ]] && words="--name $everywhere" ;;
    golden) words='list run' ;;
    objects)
      words='import'
      [[ $nested == import ]] && words="--key $everywhere" ;;
    policy) words='check diff show' ;;
    ledger) words='show verify' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [[ $current == -* ]] && return
  case $command in
    import|tune|export|report|policy|corpus|objects)
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
  esac
}
complete -o filenames -F _kctl kctl
