from detection.commands.compress import main

if __name__ == "__main__":
    raise SystemExit(main())
