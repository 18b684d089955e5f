from detection.commands.report import main

if __name__ == "__main__":
    raise SystemExit(main())
