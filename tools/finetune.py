from detection.commands.finetune import main

if __name__ == "__main__":
    raise SystemExit(main())
