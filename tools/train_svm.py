from detection.commands.train_svm import main

if __name__ == "__main__":
    raise SystemExit(main())
